"""Networks that are good already, of other libraries or of files, as frozen teachers."""
