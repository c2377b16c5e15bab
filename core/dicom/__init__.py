"""DICOM as this project reads and writes it; nothing here knows a database."""
