"""The generated parts of the pages: pure functions from the benchmarks' JSON, or from the code, to Markdown."""
