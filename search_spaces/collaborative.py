"""Two students that learn together from scratch: the three weights, the regions and the temperature, on three pairs.

A pair's second network is the searched student, its first the other one; both are scored, each against itself alone.
Sized for a CPU and the embedded data set; for a larger budget name larger pairs.
Source: arXiv 2307.12574.
Deviation: its weights are not public; the enqueued point has all three at 1, the ranges are ours.
"""

from __future__ import annotations

from typing import Any

from search_spaces.space import SearchSpace

_WEIGHT = {"low": 1e-2, "high": 10, "log": True}
SPACE = SearchSpace.from_dict(
    {
        "pair": ["fpn_r18:pvt_b0", "pvt_b0:fpn_r18", "pvt_b0:mbv3s"],
        "lambda_hfd": _WEIGHT,
        "lambda_region": _WEIGHT,
        "lambda_pixel": _WEIGHT,
        "region_size": [8, 16, 32, 64],
        "temperature": {"low": 0.5, "high": 8, "log": True},
    }
)
BASE: dict[str, Any] = {"method": "collaborative"}
ENQUEUE: tuple[dict[str, Any], ...] = (
    {"lambda_hfd": 1.0, "lambda_region": 1.0, "lambda_pixel": 1.0, "region_size": 16, "temperature": 1.0},
)
