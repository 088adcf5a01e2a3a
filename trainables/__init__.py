"""Plain PyTorch training of one trial: config in, metrics and checkpoints out. Knows nothing of studies."""
