"""Training, evaluation, generated material and the client for AI developers; runs without the server."""
