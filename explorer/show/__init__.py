"""What a study shows while it runs and after: the live dashboard's source, pictures, samples."""
