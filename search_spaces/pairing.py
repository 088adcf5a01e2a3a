"""Which teacher suits which student: every pair of the table, with both weights. Every pair is tried once at the start.

Holds the large networks too; on a CPU, give `pair` a shorter list.
"""

from __future__ import annotations

from typing import Any

from search_spaces.pairs import PAIRS
from search_spaces.space import SearchSpace

SPACE = SearchSpace.from_dict(
    {
        "pair": list(PAIRS),
        "lambda_kd": {"low": 1e-3, "high": 10, "log": True},
        "lambda_hakd": {"low": 1e-2, "high": 30, "log": True},
    }
)
BASE: dict[str, Any] = {"method": "heteroakd"}
ENQUEUE: tuple[dict[str, Any], ...] = tuple({"pair": name, "lambda_kd": 0.1, "lambda_hakd": 1.0} for name in PAIRS)
