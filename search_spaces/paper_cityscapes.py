"""HeteroAKD's weights on Cityscapes as in the papers: both directions, 512x1024 crops, the recipe of `paper.py`.

Name the data when you launch it: --data cityscapes:/path/to/it.
The first pair is the paper's best documented row: student alone 73.92, HeteroAKD 74.91.
"""

from __future__ import annotations

from typing import Any

from search_spaces import paper

_PAIRS = ("dl_mit_b4:mbv2", "mit_b4:r18", "r101:mit_b0")
SPACE = paper.space(*_PAIRS)
BASE: dict[str, Any] = {**paper.BASE, "data": "cityscapes", "crop_height": 512, "crop_width": 1024}
ENQUEUE: tuple[dict[str, Any], ...] = paper.points(*_PAIRS)
STUDY = paper.STUDY
