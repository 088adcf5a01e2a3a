"""HeteroAKD's weights on ADE20K as in the papers: both directions, 512x512 crops, the recipe of `paper.py`.

Name the data when you launch it: --data ade20k:/path/to/it.
"""

from __future__ import annotations

from typing import Any

from search_spaces import paper

_PAIRS = ("mit_b4:mbv2", "mit_b4:r18", "r101:mit_b0")
SPACE = paper.space(*_PAIRS)
BASE: dict[str, Any] = {**paper.BASE, "data": "ade20k", "crop_height": 512, "crop_width": 512}
ENQUEUE: tuple[dict[str, Any], ...] = paper.points(*_PAIRS)
STUDY = paper.STUDY
