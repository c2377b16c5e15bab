"""Training, one file a task; PyTorch is loaded here and in ml/networks only."""
