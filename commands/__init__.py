"""The verbs of ./run: serve, worker, demo, admin, pull, bench, check."""
