"""What a frozen teacher says of a batch: one forward for many students, or its answers kept on disk."""
