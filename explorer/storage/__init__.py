"""Where a study's truth is kept."""
