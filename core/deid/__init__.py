"""De-identification of headers and pixels; nothing here knows a database. It fails closed."""
