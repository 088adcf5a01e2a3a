"""The projectors, at one pair: depth, width, kernel and tap, and the weight of their own loss.

The first enqueued point is the default (one linear 1x1 convolution on the last backbone stage), the second has one
hidden layer.
"""

from __future__ import annotations

from typing import Any

from search_spaces.pairs import PAIRS
from search_spaces.space import SearchSpace

SPACE = SearchSpace.from_dict(
    {
        "projector_depth": {"low": 1, "high": 3},
        "projector_width": [32, 64, 128, 256],
        "projector_kernel": [1, 3],
        "projector_tap": ["stage1", "stage2", "stage3", "stage4", "decoder"],
        "lambda_proj": {"low": 1e-2, "high": 10, "log": True},
    }
)
_PAIR = PAIRS["fpn_r18:pvt_b0"]
BASE: dict[str, Any] = {"method": "heteroakd", "teacher": _PAIR.teacher.model, "student": _PAIR.student.model}
ENQUEUE: tuple[dict[str, Any], ...] = (
    {"projector_depth": 1, "projector_tap": "stage4", "lambda_proj": 1.0},
    {
        "projector_depth": 2,
        "projector_width": 64,
        "projector_kernel": 1,
        "projector_tap": "stage4",
        "lambda_proj": 1.0,
    },
)
