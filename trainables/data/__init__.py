"""DATASETS: every data set that has a name. One reader file for each layout, and one line here for each set."""

from __future__ import annotations

from trainables import torchvision_cure as torchvision_cure  # first: every module below may import torchvision

# isort: split
from pathlib import Path

from trainables.data.ade20k import read_ade20k
from trainables.data.camvid import read_camvid
from trainables.data.cityscapes import read_cityscapes
from trainables.data.dataset import Source
from trainables.data.folder import read_folder
from trainables.data.voc import read_voc

DATASETS: dict[str, Source] = {
    "earth": Source(read_folder, root=Path(__file__).parent / "earth"),
    "folder": Source(read_folder, root=None),
    "cityscapes": Source(read_cityscapes, root=None),
    "voc": Source(read_voc, root=None),
    "ade20k": Source(read_ade20k, root=None),
    "camvid": Source(read_camvid, root=None),
}
