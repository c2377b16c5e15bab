"""The background door: jobs that run on the queue."""
