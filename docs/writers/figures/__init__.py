"""What was measured, in Markdown: one file for each JSON of benchmarks/, and the front page's table."""
