"""Predict one image: python predict.py IMAGE MASK.png. Needs heteroakd-explorer.

The mask is a palette PNG of class ids, as `heteroakd predict` writes it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from trainables.errors import HeteroakdError
from trainables.serving.predict import Predictor, save_mask


def main(arguments: Sequence[str]) -> str | None:
    """Write the mask; what is wrong, if something is."""
    if len(arguments) != 2:
        return "Usage: python predict.py IMAGE MASK.png"
    source, target = map(Path, arguments)
    try:
        network = Predictor.open(Path(__file__).resolve().parent)
        save_mask(network.predict(network.read(source)), network.palette, target)
    except HeteroakdError as error:
        return f"Error: {error}"
    return None


if __name__ == "__main__":
    if wrong := main(sys.argv[1:]):
        print(wrong, file=sys.stderr)
        sys.exit(2)
