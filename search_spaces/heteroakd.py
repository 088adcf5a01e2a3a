"""The method as a whole: pair, both weights, temperature, projector and learning rate, on three small pairs both ways.

Sized for a CPU and the embedded data set; for a larger budget name larger pairs.
Source: arXiv 2504.07691; the enqueued points are its lambda_1 = 0.1 with lambda_2 = 1 and 10.
"""

from __future__ import annotations

from typing import Any

from search_spaces.space import SearchSpace

SPACE = SearchSpace.from_dict(
    {
        "pair": ["fpn_r18:pvt_b0", "pvt_b0:mbv3s", "mit_b0:mbv3s"],
        "lambda_kd": {"low": 1e-3, "high": 10, "log": True},
        "lambda_hakd": {"low": 1e-2, "high": 30, "log": True},
        "temperature": {"low": 0.5, "high": 8, "log": True},
        "projector_depth": {"low": 1, "high": 3},
        "projector_width": [32, 64, 128, 256],
        "projector_kernel": [1, 3],
        "projector_tap": ["stage3", "stage4", "decoder"],
        "lr": {"low": 1e-4, "high": 1e-2, "log": True},
    }
)
BASE: dict[str, Any] = {"method": "heteroakd"}
_PAPER = {"lambda_kd": 0.1, "temperature": 1.0, "projector_depth": 1, "projector_tap": "stage4", "lr": 1e-3}
ENQUEUE: tuple[dict[str, Any], ...] = (_PAPER | {"lambda_hakd": 1.0}, _PAPER | {"lambda_hakd": 10.0})
