"""The finalists again on fresh seeds, scored once on the test split."""
