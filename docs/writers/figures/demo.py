"""What `make demo` finds with several seeds of its search: benchmarks/demo.json."""

from __future__ import annotations

from typing import Any

from writers.words import NONE, table


def rows(found: Any) -> str:
    """One row a seed."""
    head = ("sampler_seed", "trials", "pruned", "confirmed pair", "seeds", "mIoU, test, %", "gain, points", "seconds")
    cells = [
        [
            str(one["sampler_seed"]),
            str(one["trials"]),
            str(one["pruned"]),
            f"`{one['pair']}`",
            str(one["num_seeds"]),
            f"{one['miou']:.1f}",
            f"{one['gain']:+.2f} ({one['gain_low']:+.2f} to {one['gain_high']:+.2f})",
            NONE if one["seconds"] is None else f"{one['seconds']:.0f}",
        ]
        for one in found["demos"]
    ]
    return table(head, cells, right=[0, 1, 2, 4, 5, 6, 7])
