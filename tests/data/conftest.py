"""A small data set in the folder layout, written as real files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

CLASSES = ["road", "sky", "tree", "car", "sign", "wall", "pole"]
COUNTS = {"train": 5, "val": 3, "test": 2}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Images of 64x48 (width x height) whose red channel is 30 times the label's id, with random green and blue."""
    root = tmp_path / "tiny"
    rng = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            ids = rng.integers(0, len(CLASSES), (3, 4), dtype=np.uint8).repeat(16, axis=0).repeat(16, axis=1)
            noise = rng.integers(0, 256, (*ids.shape, 2), dtype=np.uint8)
            Image.fromarray(np.dstack([ids * 30, noise])).save(root / "images" / split / f"r{number}.png")
            Image.fromarray(ids).save(root / "labels" / split / f"r{number}.png")
    (root / "dataset.yaml").write_text(yaml.safe_dump({"name": "tiny", "classes": CLASSES}))
    return root


@pytest.fixture
def describe(tree: Path) -> Callable[..., None]:
    """Rewrite the tree's dataset.yaml with other fields."""

    def write(**fields: object) -> None:
        (tree / "dataset.yaml").write_text(yaml.safe_dump({"name": "tiny", "classes": CLASSES, **fields}))

    return write
