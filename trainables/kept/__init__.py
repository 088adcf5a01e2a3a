"""What lies on disk: whole files, checkpoints, object stores, the cache."""
