"""What int8 and fp16 cost each network, and how fast they are: benchmarks/quantised.json."""

from __future__ import annotations

from typing import Any

from writers.words import NONE, table

EVERY = "every operator that has an int8 form"
FILES = {"student.int8.onnx": "int8", "student.fp16.onnx": "fp16"}


def setting(found: Any) -> str:
    """How it was measured, and of how many networks."""
    height, width = found["size"]
    return (
        f"Each network trained alone for {found['steps']} steps on crops of {found['crop']} x {found['crop']} pixels "
        f"of `earth`; graphs of {height} x {width} pixels, scored on all of val, and timed {found['runs']} times with "
        f"ONNX Runtime {found['onnxruntime']} on one thread of a CPU (median). {len(found['networks'])} of "
        f"{found['of']} networks are measured."
    )


def rows(found: Any) -> str:
    """One row a network and precision."""
    told = []
    for row in found["networks"].values():
        plain = row["files"].get("student.onnx", {})
        for file, name in FILES.items():
            facts = row["files"].get(file, {})
            if "points_lost" not in facts:
                told.append((f"`{row['model']}`", name, *[NONE] * 5))
                continue
            told.append(
                (
                    f"`{row['model']}`",
                    name if facts.get("quantised", EVERY) == EVERY else f"{name}, {facts['quantised']}",
                    f"{100 * plain['miou']:.2f}",
                    f"{facts['points_lost']:.2f}",
                    f"{facts.get('points_lost_here', facts['points_lost']):.2f}",
                    f"{plain['p50_ms'] / facts['p50_ms']:.2f}" if "p50_ms" in facts else "left out",
                    f"{facts['mib'] / plain['mib']:.2f}" if "p50_ms" in facts else NONE,
                )
            )
    head = (
        "network",
        "graph",
        "mIoU of fp32, %",
        "points lost",
        "by this CPU",
        "times as fast as fp32",
        "size, of fp32's",
    )
    return table(head, told, right=[2, 3, 4, 5, 6])
