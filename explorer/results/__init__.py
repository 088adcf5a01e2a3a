"""Storage and folders in, tidy frames out: the sweep's, the confirmation's, who taught whom."""
