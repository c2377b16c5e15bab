"""De-identifies whole folders without a server or a database: what a site does to a case, done file by file."""
