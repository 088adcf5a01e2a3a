"""A sweep from its spec to its end: means, cluster, driver, progress, loggers."""
