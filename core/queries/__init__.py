"""Reads for lists and pages; each starts from readable_*(user)."""
