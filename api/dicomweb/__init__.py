"""DICOMweb (PS3.18): QIDO-RS and WADO-RS for reading, STOW-RS for storing."""
