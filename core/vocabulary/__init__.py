"""The form of each organ domain as data: code lists and one YAML file per organ."""
