"""Judging: figures with intervals drawn over patients, of data that the model never saw."""
