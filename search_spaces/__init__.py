"""What may vary: one preset a file, and the file's name is its name on the command line (`_` as `-`)."""

PRESETS = (
    *("heteroakd", "lambdas", "projectors", "pairing", "methods", "collaborative"),
    *("paper-cityscapes", "paper-voc", "paper-ade20k"),
)
