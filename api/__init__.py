"""The JSON door: REST and DICOMweb."""
