"""Step time and peak memory of every method of LOSSES, against `kd`: the criterion alone, forward and backward.

Two 512 x 1024 crops with 19 classes. Teacher DeepLabV3-ResNet-101 (stage4: 2048 channels), student SegFormer-MiT-B0
(stage4: 256); all logits and taps are random maps of their channels on 64 x 128 cells, the grid of a dilated CNN.
Weights are the defaults, cwd's on the features as in its paper. Each method has a process of its own, and its memories
are filled before it is measured. Memory is what a step takes above its maps: of the allocator on CUDA, resident else
(Linux). Run: `python benchmarks/losses.py`; writes benchmarks/losses.json; on CUDA where there is one.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from trainables.config import TrialConfig
from trainables.losses import LOSSES
from trainables.losses.criterion import Criterion
from trainables.models.build import build
from trainables.models.segmodel import Features, SegModel

BATCH, CLASSES, GRID, CROP = 2, 19, (64, 128), (512, 1024)
PAIR = {"teacher": "deeplabv3:resnet101", "student": "segformer:mit_b0"}
OWN = {"cwd": {"lambda_cwd_feature": 50.0}}
WARM_UP, STEPS = 2, {"cpu": 3, "cuda": 30}
OUT = Path(__file__).with_suffix(".json")
MIB = 2**20
_MMAP_THRESHOLD = -3  # of malloc.h


def maps(model: SegModel, device: str) -> Features:
    """Random logits and taps that require a gradient."""
    rng = torch.Generator().manual_seed(len(model.taps["stage4"]))

    def leaf(channels: int) -> torch.Tensor:
        return torch.randn(BATCH, channels, *GRID, generator=rng).to(device).requires_grad_()

    return Features(leaf(CLASSES), {name: leaf(tap.channels) for name, tap in model.taps.items()})


def prepare(method: str, device: str) -> tuple[Criterion, Callable[[], None], Callable[[], None]]:
    """The criterion, one step of it, and what frees the step's gradients."""
    config = TrialConfig.parse(
        {"method": method, "crop_height": CROP[0], "crop_width": CROP[1], **PAIR, **OWN.get(method, {})}
    )
    student, teacher = (build(PAIR[role], num_classes=CLASSES) for role in ("student", "teacher"))
    kind = LOSSES[method]
    guided = kind.needs_teacher or kind.needs_peer
    criterion = kind(
        config, student=student, teacher=teacher if guided else None, num_classes=CLASSES, ignore_index=255
    ).to(device)
    own, guide = maps(student, device), maps(teacher, device) if guided else None
    if guide is not None and kind.needs_teacher:
        guide = Features(guide.logits.detach(), {name: tap.detach() for name, tap in guide.taps.items()})
    rng = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, CLASSES, (BATCH, CROP[0] // 32, CROP[1] // 32), generator=rng)
    labels = blocks.repeat_interleave(32, dim=1).repeat_interleave(32, dim=2).to(device)

    def clear() -> None:
        guides = [] if guide is None else [guide.logits, *guide.taps.values()]
        for leaf in (own.logits, *own.taps.values(), *guides, *criterion.parameters()):
            leaf.grad = None

    def step() -> None:
        terms = criterion(own, guide, labels)
        torch.stack([weight * terms[name] for name, weight in criterion.weights.items()]).sum().backward()

    return criterion, step, clear


def measure(method: str) -> dict[str, object]:
    """Median seconds of a step and the most memory that one takes, above what there was before it."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    criterion, step, clear = prepare(method, device)
    seconds = [timed(step, clear, device) for _ in range(WARM_UP + STEPS[device])][WARM_UP:]
    clear()
    before = start_peak(device)
    step()
    return {
        "method": method,
        "step_ms": round(1000 * statistics.median(seconds), 2),
        "peak_mib": round((peak(device) - before) / MIB, 1),
        "weights_millions": round(sum(p.numel() for p in criterion.parameters()) / 1e6, 2),
    }


def timed(step: Callable[[], None], clear: Callable[[], None], device: str) -> float:
    clear()
    started = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def start_peak(device: str) -> int:
    """Bytes in use now; the peak counts from here. The C library is told to give freed blocks back at once."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, 2**16)
    libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return status("VmRSS")


def peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == "cuda" else status("VmHWM")


def status(field: str) -> int:
    """A line of the process's own status, bytes; Linux."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def main() -> None:
    cuda = torch.cuda.is_available()
    rows = []
    for method in LOSSES:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
            rows.append(alone.submit(measure, method).result())
    kd = next(row for row in rows if row["method"] == "kd")
    for row in rows:
        row["time_over_kd"] = round(row["step_ms"] / kd["step_ms"], 2)
        row["memory_over_kd"] = round(row["peak_mib"] / kd["peak_mib"], 2)
    setting = {
        "device": torch.cuda.get_device_name() if cuda else platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "batch": BATCH,
        "classes": CLASSES,
        "grid": GRID,
        "crop": CROP,
        **PAIR,
    }
    OUT.write_text(json.dumps({"setting": setting, "losses": rows}, indent=1) + "\n", encoding="utf-8")
    print(f"{setting['device']}, torch {setting['torch']}")
    print(f"{'method':14} step (ms)   x kd   peak (MiB)   x kd   own weights (M)")
    for row in rows:
        print(f"{row['method']:14} {row['step_ms']:9.1f} {row['time_over_kd']:6.2f} {row['peak_mib']:12.0f} "
              f"{row['memory_over_kd']:6.2f} {row['weights_millions']:17.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
