"""Time and peak memory of a training step of HeteroAKD against batch, classes and crop.

One of the three is changed at a time. Images are made up and already on the device: data loading is left out. Options
are the defaults. Memory is the networks, their optimiser and the step; of the allocator on CUDA, resident else (Linux).
Each figure has a process of its own. Per pixel: the step's time over batch x height x width.
Run: `python benchmarks/scaling.py`; writes benchmarks/scaling.json; on CUDA where there is one. It needs no Ray.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import platform
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from losses import MIB, peak, start_peak

from trainables.compiled import begin_step
from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.data.feed import Batch
from trainables.device import memory_format, place
from trainables.guidance.guide import Guide
from trainables.loop import Learner
from trainables.models.build import build
from trainables.teachers import freeze

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
PAIR = {"teacher": "deeplabv3:resnet101", "student": "deeplabv3plus:mobilenet_v2"} if CUDA else {
    "teacher": "fpn:resnet18", "student": "segformer:mit_b0"
}  # fmt: skip
BASE: dict[str, Any] = {"batch": 8, "classes": 19, "crop": (512, 512)} if CUDA else {
    "batch": 4, "classes": 19, "crop": (64, 64)
}  # fmt: skip
CHANGED: dict[str, list[Any]] = {
    "batch": [2, 4, 8],
    "classes": [19, 150],
    "crop": [(512, 512), (512, 1024)] if CUDA else [(64, 64), (96, 96), (128, 128)],
}
WARM_UP, STEPS = (5, 20) if CUDA else (2, 5)
OUT = Path(__file__).with_suffix(".json")
Row = dict[str, Any]


def cases() -> list[Row]:
    """The base, and each change of it."""
    found = [BASE]
    for name, values in CHANGED.items():
        found += [changed for value in values if (changed := BASE | {name: value}) not in found]
    return found


def made_up(case: Row, **fields: Any) -> tuple[Learner, Guide, Batch]:
    """A trial and a batch for it, the same at every call; its directory is never written to.

    Args:
        fields: of the config, beside the case's.
    """
    height, width = case["crop"]
    shape = {"batch_size": case["batch"], "crop_height": height, "crop_width": width}
    config = TrialConfig.parse({**PAIR, **shape, "steps": 10**6, **fields})
    names = tuple(f"class {number}" for number in range(case["classes"]))
    nothing: dict[str, Any] = {"train": (), "val": ()}
    dataset = SegDataset("made up", Path(), names, ((0, 0, 0),) * len(names), 255, nothing)
    teacher = build(config.teacher, num_classes=len(names))
    place(teacher, config, DEVICE)
    guide = Guide(freeze(teacher), config)
    with tempfile.TemporaryDirectory() as folder:
        learner = Learner(config, dataset=dataset, teacher=teacher, directory=Path(folder))
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randn(case["batch"], 3, height, width, generator=rng)
    labels = torch.randint(len(names), (case["batch"], height, width), generator=rng)
    batch = Batch(pixels.to(DEVICE, memory_format=memory_format(config, DEVICE)), labels.to(DEVICE))
    return learner, guide, batch


def timed(trial: tuple[Learner, Guide, Batch], *, steps: int) -> list[float]:
    """Seconds of each step."""
    learner, guide, batch = trial
    seconds = []
    for _ in range(steps):
        started = time.perf_counter()
        begin_step(learner.config)
        learner.step(batch, guide(batch))
        if CUDA:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return seconds


def measure(case: Row, *, warm_up: int = WARM_UP, steps: int = STEPS, **fields: Any) -> Row:
    """Alone in its process: first the time, then once more for the memory, which slows a CPU's allocation down."""
    step = statistics.median(timed(made_up(case, **fields), steps=warm_up + steps)[warm_up:])
    gc.collect()
    before = start_peak(DEVICE.type)
    timed(made_up(case, **fields), steps=2)
    taken = peak(DEVICE.type) - before
    pixels = case["batch"] * case["crop"][0] * case["crop"][1]
    figures = {"step_ms": 1000 * step, "ns_a_pixel": 1e9 * step / pixels, "peak_mib": taken / MIB}
    return case | {name: round(value, 2) for name, value in figures.items()}


def main() -> None:
    rows = []
    for case in cases():
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
            rows.append(alone.submit(measure, case).result())
    setting = {
        "device": torch.cuda.get_device_name() if CUDA else platform.machine(),
        "torch": torch.__version__,
        "threads": TrialConfig().num_threads,
        "command": "python benchmarks/scaling.py",
        **PAIR,
    }
    OUT.write_text(json.dumps({"setting": setting, "steps": rows}, indent=1) + "\n", encoding="utf-8")
    print(f"{setting['device']}, torch {setting['torch']}, {PAIR['teacher']} -> {PAIR['student']}")
    print("batch  classes       crop   step (ms)   ns a pixel   peak (MiB)")
    for row in rows:
        crop = f"{row['crop'][0]}x{row['crop'][1]}"
        print(f"{row['batch']:5} {row['classes']:8} {crop:>10} {row['step_ms']:11.1f} {row['ns_a_pixel']:12.1f} "
              f"{row['peak_mib']:12.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
