"""Shapes written in signatures are checked under test, and free of cost outside."""

from jaxtyping import install_import_hook

install_import_hook(
    [
        "trainables.losses",
        "trainables.models",
        "trainables.data",
        "trainables.metrics",
        "trainables.loop",
        "trainables.evaluate",
        "trainables.state",
        "trainables.checkpoint",
    ],
    "beartype.beartype",
)
