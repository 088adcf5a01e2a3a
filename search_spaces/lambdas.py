"""lambda_kd against lambda_hakd at one pair: how much of the gain depends on the weights (the paper's Figure 6).

Source: arXiv 2504.07691, Figure 6; the enqueued points are its lambda_1 = 0.1 with lambda_2 = 1 and 10.
Deviation: the ranges are ours, wide enough for both.
"""

from __future__ import annotations

from typing import Any

from search_spaces.pairs import PAIRS
from search_spaces.space import SearchSpace

SPACE = SearchSpace.from_dict(
    {
        "lambda_kd": {"low": 1e-3, "high": 10, "log": True},
        "lambda_hakd": {"low": 1e-2, "high": 30, "log": True},
    }
)
_PAIR = PAIRS["fpn_r18:pvt_b0"]
BASE: dict[str, Any] = {"method": "heteroakd", "teacher": _PAIR.teacher.model, "student": _PAIR.student.model}
ENQUEUE: tuple[dict[str, Any], ...] = (
    {"lambda_kd": 0.1, "lambda_hakd": 1.0},
    {"lambda_kd": 0.1, "lambda_hakd": 10.0},
)
