"""Judging models: figures with intervals, reports and cards."""
