"""Predict one image: python predict.py IMAGE MASK.png. Needs heteroakd-explorer.

The mask is a palette PNG of class ids, as `heteroakd predict` writes it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from trainables.predict import Predictor, read_upright, save_mask


def main(source: str, target: str) -> None:
    network = Predictor.open(Path(__file__).resolve().parent)
    save_mask(network.predict(read_upright(Path(source))), network.palette, Path(target))


if __name__ == "__main__":
    main(*sys.argv[1:])
