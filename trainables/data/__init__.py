"""DATASETS: every data set that has a name. One reader file for each layout, and one line here for each set."""

from __future__ import annotations

from trainables import torchvision_cure as torchvision_cure  # first: every module below may import torchvision

# isort: split
from pathlib import Path

from trainables.data.dataset import Source
from trainables.data.folder import read_folder

DATASETS: dict[str, Source] = {
    "earth": Source(read_folder, root=Path(__file__).parent / "earth"),
    "folder": Source(read_folder, root=None),
}
