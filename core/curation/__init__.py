"""Pure functions of curation: tracks through a cine, agreement of readers, volumes of the left ventricle."""
