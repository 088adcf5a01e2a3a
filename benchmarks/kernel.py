"""Time and peak memory of loss_proj and loss_hakd, forward and backward, in each form of `hakd_kernel`, against a copy.

The floor is what the two passes cannot but move. Forward reads Z_T, Z_S (fp32) and the labels (int64); backward reads
them again and writes both gradients:

    floor (bytes) = 6 * 4 * b c h w + 2 * 8 * b h w

Its time is at the bandwidth of a large copy on the same device, bytes read and written; `over floor` is the measured
time over it. On CUDA that time is of the device alone, the step replayed as a CUDA graph; as the host launches it, it
takes `step_ms`. Maps are random, a fifth of the pixels ignored, temperature 1, KMM and KEM on. Every form has a process
of its own for each size; on a CPU with one thread, as trials have. Memory is what a step takes above its maps. Run:
`python benchmarks/kernel.py`; writes benchmarks/kernel.json; on CUDA where there is one.
"""

from __future__ import annotations

import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from losses import MIB, peak, start_peak
from rich.console import Console
from rich.table import Table
from torch import Tensor

from trainables.losses.heteroakd import plain_terms
from trainables.losses.kernel import has_triton
from trainables.losses.lean import lean_terms
from trainables.losses.switches import Switches

SHAPES = {
    "cpu": [(2, 19, 64, 128), (2, 150, 64, 128)],
    "cuda": [(8, 19, 64, 128), (8, 150, 64, 128), (8, 19, 128, 256), (8, 150, 128, 256)],
}
COPIED = {"cpu": 256 * MIB, "cuda": 4096 * MIB}
WARM_UP, STEPS = 3, {"cpu": 15, "cuda": 50}
REPLAYS = 20  # of a CUDA graph in one timing, which thus hardly holds the time to launch it
OUT = Path(__file__).with_suffix(".json")
COMMAND = "python benchmarks/kernel.py"
Shape = tuple[int, int, int, int]


def floor_bytes(shape: Shape) -> int:
    batch, classes, height, width = shape
    return batch * height * width * (6 * 4 * classes + 2 * 8)


def bandwidth(device: str, *, copied: int | None = None) -> float:
    """Bytes read and written a second by a large copy, of so many bytes."""
    source = torch.ones((copied or COPIED[device]) // 4, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / median_seconds(lambda: target.copy_(source), device)


def median_seconds(step: Callable[[], object], device: str, *, steps: int | None = None) -> float:
    seconds = []
    for _ in range(WARM_UP + (steps or STEPS[device])):
        synchronize(device)
        started = time.perf_counter()
        step()
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[WARM_UP:])


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def prepare(
    form: str, shape: Shape, device: str, *, layout: torch.memory_format = torch.contiguous_format, exact: bool = False
) -> Callable[[], tuple[Tensor, ...]]:
    """One forward and backward pass, which gives the two gradients; they are freed with its result.

    Args:
        exact: in fp64.
    """
    if form == "triton":
        from trainables.losses.triton_hakd import triton_terms as terms
    else:
        terms = {"plain": plain_terms, "lean": lean_terms}[form]
    batch, classes, height, width = shape
    kind = torch.float64 if exact else torch.float32
    rng = torch.Generator().manual_seed(0)
    drawn = [torch.randn(shape, generator=rng).to(device, kind, memory_format=layout) for _ in range(2)]
    maps = [each.requires_grad_() for each in drawn]
    labels = torch.randint(0, classes, (batch, height, width), generator=rng)
    labels[torch.rand(labels.shape, generator=rng) < 0.2] = 255
    labels = labels.to(device)

    def step() -> tuple[Tensor, ...]:
        proj, hakd = terms(*maps, labels, Switches(255, 1.0, True, True))
        return torch.autograd.grad(proj + hakd, maps)

    return step


def error(form: str, shape: Shape, device: str, *, layout: torch.memory_format = torch.contiguous_format) -> float:
    """How far a form's gradients are from the plain form's in fp64, as a share of their length."""
    found, exact = prepare(form, shape, device, layout=layout)(), prepare("plain", shape, device, exact=True)()
    return max(((mine - one).norm() / one.norm()).item() for mine, one in zip(found, exact, strict=True))


def measure(
    form: str,
    shape: Shape,
    device: str,
    *,
    layout: torch.memory_format = torch.contiguous_format,
    steps: int | None = None,
) -> dict[str, object]:
    torch.set_num_threads(1)
    step = prepare(form, shape, device, layout=layout)
    seconds = median_seconds(step, device, steps=steps)
    before = start_peak(device)
    step()
    synchronize(device)
    taken = peak(device) - before
    alone = median_seconds(replayed(step), device, steps=steps) / REPLAYS if device == "cuda" else None
    return {
        "shape": shape,
        "form": form,
        "step_ms": round(1000 * seconds, 3),
        "device_ms": None if alone is None else round(1000 * alone, 4),
        "peak_mib": round(taken / MIB, 1),
        "map_mib": round(4 * torch.Size(shape).numel() / MIB, 1),
    }


def replayed(step: Callable[[], object]) -> Callable[[], object]:
    """The step as a CUDA graph, REPLAYS times: what the device does, without the time to launch it."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replay() -> None:
        for _ in range(REPLAYS):
            graph.replay()

    return replay


def with_floor(row: dict, copied: float) -> dict[str, object]:
    """Adds the floor's size and time, and the measured time over it."""
    floor = floor_bytes(row["shape"])
    floor_ms = 1000 * floor / copied
    measured = row["step_ms"] if row["device_ms"] is None else row["device_ms"]
    found = {"floor_mib": floor / MIB, "floor_ms": floor_ms, "over_floor": measured / floor_ms}
    return row | {name: round(value, 3) for name, value in found.items()}


def show(rows: list[dict], setting: dict) -> None:
    title = f"{setting['device']}, torch {setting['torch']}, copies {setting['copy_gb_s']} GB/s"
    table = Table("batch x classes x grid", "form", title=title)
    for name in ("step (ms)", "device (ms)", "peak (MiB)", "one map (MiB)", "floor (ms)", "over floor"):
        table.add_column(name, justify="right")
    for row in rows:
        batch, classes, *grid = row["shape"]
        device_ms = "" if row["device_ms"] is None else f"{row['device_ms']:.3f}"
        table.add_row(
            *(f"{batch} x {classes} x {grid[0]}x{grid[1]}", row["form"], f"{row['step_ms']:.2f}", device_ms),
            *(f"{row['peak_mib']:.0f}", f"{row['map_mib']:.1f}", f"{row['floor_ms']:.3f}", f"{row['over_floor']:.1f}"),
        )
    Console(width=110).print(table)


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    forms = ["plain", "lean", *(["triton"] if device == "cuda" and has_triton() else [])]
    torch.set_num_threads(1)
    copied, rows = bandwidth(device), []
    for shape in SHAPES[device]:
        for form in forms:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
                rows.append(with_floor(alone.submit(measure, form, shape, device).result(), copied))
    setting = {
        "command": COMMAND,
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "copy_gb_s": round(copied / 1e9, 2),
    }
    OUT.write_text(json.dumps({"setting": setting, "kernels": rows}, indent=1) + "\n", encoding="utf-8")
    show(rows, setting)


if __name__ == "__main__":
    main()
