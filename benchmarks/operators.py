"""Where a step's time goes before and after: operators by their own time, of the plain loop and of ours.

Ten steps each of the first pair of benchmarks/loop.py, after its warm-up, by torch.profiler; time on the device on
CUDA, on the CPU else, calls with the data loading that is in the same process. Profiling itself takes time, so the
totals are no step times. Run: `python benchmarks/operators.py`; writes benchmarks/operators.txt.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plain
import torch
from loop import CROPS, CUDA, DEVICE, PAIRS, SCALE, configure, ours
from torch.profiler import ProfilerActivity, profile

from trainables.data.catalogue import open_dataset

STEPS, SHOWN = 10, 15
OUT = Path(__file__).with_suffix(".txt")


def profiled(loop: Iterator[Any]) -> list[tuple[str, float, int]]:
    """Name, seconds of its own and calls of each operator in STEPS steps, longest first."""
    for _ in range(SCALE.warm_up):
        next(loop)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if CUDA else [])]
    with profile(activities=activities) as found:
        for _ in range(STEPS):
            next(loop)
        if CUDA:
            torch.cuda.synchronize()
    own = "self_device_time_total" if CUDA else "self_cpu_time_total"
    rows = [(event.key, getattr(event, own) / 1e6, event.count) for event in found.key_averages()]
    return sorted(rows, key=lambda row: -row[1])


def table(title: str, rows: list[tuple[str, float, int]]) -> str:
    total = sum(seconds for _, seconds, _ in rows)
    calls = sum(count for _, _, count in rows)
    lines = [f"{title}: {1000 * total / STEPS:.1f} ms and {calls / STEPS:.0f} calls a step", ""]
    lines.append(f"{'ms a step':>10} {'%':>6} {'calls':>7}  operator")
    for name, seconds, count in rows[:SHOWN]:
        lines.append(f"{1000 * seconds / STEPS:10.2f} {100 * seconds / total:6.1f} {count / STEPS:7.1f}  {name[:80]}")
    return "\n".join(lines)


def main() -> None:
    pair, crop = next(iter(PAIRS)), CROPS[0]
    config, dataset = configure(pair, crop), open_dataset("earth")
    torch.set_num_threads(config.num_threads)
    before = table("Before, the plain loop", profiled(plain.steps(config, dataset, DEVICE)))
    after = table("After, our loop", profiled(ours(config, dataset)))
    device = torch.cuda.get_device_name() if CUDA else platform.machine()
    head = f"{pair}, batch {config.batch_size} of {crop[0]}x{crop[1]}, {device}, torch {torch.__version__}\n"
    head += "python benchmarks/operators.py\n"
    OUT.write_text("\n".join([head, before, "", after, ""]), encoding="utf-8")
    print(OUT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
