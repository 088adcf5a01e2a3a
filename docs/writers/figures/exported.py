"""Which networks leave as graphs, and how far they are from PyTorch: benchmarks/exported.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from writers.words import table

FILES = {"student.onnx": "ONNX", "student.pt2": "torch.export"}


def networks(found: Any) -> str:
    """One row a network and file."""
    rows = [
        (
            f"`{own['model']}`",
            FILES[file],
            facts["size"],
            f"{facts['max_abs_diff']:.0e}",
            _share(facts),
            f"{facts['mib']:.1f}",
        )
        for own, file, facts in each(found)
    ]
    head = ("network", "file", "sizes", "logits differ by at most", "labels that agree, %", "MiB")
    return table(head, rows, right=[3, 4, 5])


def summary(found: Any) -> str:
    """How many networks, and the worst of them."""
    every = [facts for _, _, facts in each(found)]
    fixed = sum("x" in own["student.onnx"]["size"] for own in found["networks"].values())
    worst = max(1 - facts["agreement"] for facts in every)
    return (
        f"{whole(found)} of {len(found['networks'])} networks leave as both files, {fixed} of them for one fixed size. "
        f"At most {1e5 * worst:.0f} of 100,000 pixels get another label than from PyTorch."
    )


def whole(found: Any) -> int:
    """Networks that leave as both files."""
    return sum(all(file in own and "size" in own[file] for file in FILES) for own in found["networks"].values())


def each(found: Any) -> Iterator[tuple[Any, str, Any]]:
    """Every network with each of its files."""
    for own in found["networks"].values():
        for file in FILES:
            yield own, file, own[file]


def _share(facts: Any) -> str:
    return f"{100 * facts['agreement']:.3f}"
