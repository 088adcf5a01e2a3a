"""What may vary: one preset a file, and the file's name is its name on the command line."""

PRESETS = ("heteroakd", "lambdas", "projectors", "pairing")
