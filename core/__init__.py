"""What every door shares: rules, tables, files. It imports none of the doors."""
