"""Sources as other tools write them, and labels drawn by hand: a digit a pixel, `.` for background, `x` for ignored."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import explorer

WIDTH, HEIGHT = 10, 6


@pytest.fixture
def grid() -> Callable[[str], np.ndarray]:
    """Ids of a drawing, row by row."""

    def read(drawing: str) -> np.ndarray:
        ids = {".": 0, "x": 255} | {str(number): number for number in range(10)}
        return np.array([[ids[letter] for letter in row] for row in drawing.split()], np.uint8)

    return read


@pytest.fixture
def photo() -> Callable[..., Path]:
    """Write an image of 10x6 (width x height), unless told otherwise; each has its own bytes."""

    def write(path: Path, *, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = zlib.crc32(path.as_posix().encode())
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def written() -> Callable[[Path, Any], Path]:
    """Write text, or what becomes JSON."""

    def write(path: Path, values: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
        return path

    return write


@pytest.fixture
def brought(tmp_path: Path) -> Callable[..., tuple[explorer.DataImport, dict[str, np.ndarray]]]:
    """Import, and read the labels, by the names of their files, with what the masks hold."""

    def bring(kind: str, src: Path, **options: Any) -> tuple[explorer.DataImport, dict[str, np.ndarray]]:
        done = explorer.import_data(kind, src, tmp_path / "set", **options)
        labels = {path.stem: np.array(Image.open(path)) for path in (tmp_path / "set/labels").rglob("*.png")}
        assert {path.stem for path in (tmp_path / "set/images").rglob("*.*")} == labels.keys()
        return done, labels

    return bring
