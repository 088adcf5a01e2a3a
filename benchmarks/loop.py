"""Images a second of our training loop against a plain one (benchmarks/plain.py), and what each option alone changes.

HeteroAKD, batch 8, the same networks, crops and number of loading processes on both sides, data loading included,
evaluation and the first steps left out. Loops are measured in turn, a few steps each, each round in another order, on
a CPU by the process's own time (it computes in one thread, and what else runs there does not count). A figure is the
median over rounds, a ratio the median of the rounds' own ratios, with the lowest and the highest. Each option is
switched alone, from its default on this device. Utilisation is the networks' arithmetic, teacher forward and three
times student forward (matrix products and convolutions, torch's FlopCounterMode), over time and over the rate of a
large matrix product measured here (bf16 on CUDA, fp32 else). Peak memory is all that a loop takes, networks included;
of the allocator on CUDA, resident else (Linux).

On a CPU: two pairs on `earth`, crops of 96. On CUDA: three pairs, crops of 512x512 from JPEGs of VOC's size and of
512x1024 from PNGs of Cityscapes's, made here and as many as there, 8 loading processes. torch.compile takes minutes a
network: `--compile`.
Run: `python benchmarks/loop.py [--compile] [--pairs NAME ...]`; writes benchmarks/loop.json. It needs no Ray.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import plain
import torch
from data import make
from losses import MIB, peak, start_peak

from trainables.compiled import begin_step
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.data.feed import feed
from trainables.device import place
from trainables.guidance.guide import Guide
from trainables.loop import Learner
from trainables.models.build import build
from trainables.models.cost import cost
from trainables.teachers import freeze

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
PAIRS = {
    "R101->MBV2": ("deeplabv3:resnet101", "deeplabv3plus:mobilenet_v2"),
    "R101->MiT-B0": ("deeplabv3:resnet101", "segformer:mit_b0"),
    "MiT-B4->R18": ("segformer:mit_b4", "deeplabv3:resnet18"),
} if CUDA else {
    "R18->MiT-B0": ("fpn:resnet18", "segformer:mit_b0"),
    "MiT-B0->MBV3S": ("segformer:mit_b0", "fpn:tu-mobilenetv3_small_050"),
}  # fmt: skip
CROPS = [(512, 512), (512, 1024)] if CUDA else [(96, 96)]
MADE = {(512, 512): ((375, 500), "jpg"), (512, 1024): ((1024, 2048), "png")}  # else `earth`
EPOCH = {(512, 512): 1464, (512, 1024): 2975}  # images; the plain loop starts new loading processes in each


class Scale(NamedTuple):
    """Images a batch, loading processes, steps that are left out and those of a round, rounds."""

    batch: int
    workers: int
    warm_up: int
    steps: int
    rounds: int


SCALE = Scale(8, 8, warm_up=12, steps=20, rounds=5) if CUDA else Scale(8, 0, warm_up=1, steps=1, rounds=10)
OPTIONS: dict[str, dict[str, Any]] = {
    f"channels_last {not CUDA}": {"channels_last": not CUDA},
    f"fused_optimizer {not CUDA}": {"fused_optimizer": not CUDA},
    "fold_teacher False": {"fold_teacher": False},
    "hakd_kernel plain": {"hakd_kernel": "plain"},
    "augment_on device": {"augment_on": "device"},
    "image_cache disk": {"image_cache": "disk"},
    **({"amp False": {"amp": False}} if CUDA else {}),
}
COMPILED: dict[str, dict[str, Any]] = {
    f"compile {mode}": {"compile": mode} for mode in (("default", "reduce-overhead") if CUDA else ("default",))
}
OUT = Path(__file__).with_suffix(".json")
Row = dict[str, Any]

clock = time.perf_counter if CUDA else time.process_time


def configure(pair: str, crop: tuple[int, int], *, scale: Scale = SCALE, **fields: Any) -> TrialConfig:
    teacher, student = PAIRS[pair]
    shape = {"crop_height": crop[0], "crop_width": crop[1], "batch_size": scale.batch, "num_workers": scale.workers}
    never = {"steps": 10**6, "eval_every": 10**6}
    return TrialConfig.parse({"teacher": teacher, "student": student, **shape, **never, **fields})


def ours(config: TrialConfig, dataset: SegDataset) -> Iterator[None]:
    """Each `next` is one step of `loop.train`."""
    teacher = build(config.teacher, num_classes=dataset.num_classes)
    place(teacher, config, DEVICE)
    guide = Guide(freeze(teacher), config)
    with tempfile.TemporaryDirectory() as folder:
        learner = Learner(config, dataset=dataset, teacher=teacher, directory=Path(folder))
        for batch in feed(dataset, config, device=DEVICE):
            begin_step(config)
            learner.step(batch, guide(batch))
            yield


def images_per_second(loop: Iterator[Any], *, steps: int, batch: int) -> float:
    started = clock()
    for _ in range(steps):
        next(loop)
    if CUDA:
        torch.cuda.synchronize()
    return steps * batch / (clock() - started)


def matmul_flops(dtype: torch.dtype = torch.bfloat16 if CUDA else torch.float32) -> float:
    """Operations a second of a large matrix product."""
    side = 8192 if CUDA else 1024
    factor = torch.randn(side, side, device=DEVICE, dtype=dtype)
    seconds = []
    for _ in range(20):
        started = clock()
        factor @ factor
        if CUDA:
            torch.cuda.synchronize()
        seconds.append(clock() - started)
    return 2 * side**3 / statistics.median(seconds[5:])


def arithmetic(config: TrialConfig, num_classes: int) -> float:
    """Operations of the networks for one image."""
    size = {"height": config.crop_height, "width": config.crop_width}
    teacher, student = (
        cost(build(name, num_classes=num_classes), **size).gmac for name in (config.teacher, config.student)
    )
    return 2e9 * (teacher + 3 * student)


def measure(
    pair: str,
    crop: tuple[int, int],
    dataset: SegDataset,
    options: dict[str, Any],
    ceiling: float,
    *,
    scale: Scale = SCALE,
) -> Row:
    default = configure(pair, crop, scale=scale)
    loops = {"plain": plain.steps(default, dataset, DEVICE), "ours": ours(default, dataset)}
    loops |= {name: ours(configure(pair, crop, scale=scale, **fields), dataset) for name, fields in options.items()}
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for loop in loops.values():
        images_per_second(loop, steps=scale.warm_up, batch=scale.batch)
    rng = random.Random(0)
    for _ in range(scale.rounds):
        for name in rng.sample(list(loops), len(loops)):
            rates[name].append(images_per_second(loops[name], steps=scale.steps, batch=scale.batch))
    flops = arithmetic(default, dataset.num_classes)
    rows = [row(name, rates, flops / ceiling) for name in loops]
    return {"pair": pair, "crop": crop, "gflop_per_image": round(flops / 1e9, 2), "loops": rows}


def row(name: str, rates: dict[str, list[float]], least_seconds: float) -> Row:
    over = {
        f"over_{other}": spread([a / b for a, b in zip(rates[name], rates[other], strict=True)])
        for other in ("plain", "ours")
    }
    middle = statistics.median(rates[name])
    return {"loop": name, "images_per_s": spread(rates[name]), **over, "utilisation": round(middle * least_seconds, 4)}


def spread(values: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


def peak_mib(start: Callable[[], Iterator[Any]]) -> float:
    gc.collect()
    before = start_peak(DEVICE.type)
    loop = start()
    for _ in range(3):
        next(loop)
    return round((peak(DEVICE.type) - before) / MIB, 1)


def datasets(folder: str, crops: list[tuple[int, int]] = CROPS) -> dict[tuple[int, int], SegDataset]:
    """The set of each crop."""
    found = {}
    for crop in crops:
        root = Path(folder) / f"{crop[1]}"
        if crop in MADE:
            make(root, *MADE[crop])
            enlarge(root, EPOCH[crop])
        found[crop] = open_dataset(str(root) if crop in MADE else "earth")
    return found


def enlarge(root: Path, images: int) -> None:
    """To so many training images, which are links to those that are there."""
    for kind in ("images", "labels"):
        files = sorted((root / kind / "train").iterdir())
        for number in range(len(files), images):
            source = files[number % len(files)]
            (source.parent / f"{number}{source.suffix}").hardlink_to(source)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too")
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS))
    given = parser.parse_args()
    torch.set_num_threads(TrialConfig().num_threads)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HETEROAKD_CACHE"] = folder
        ceiling, sets = matmul_flops(), datasets(folder)
        cases = list(itertools.product(given.pairs, CROPS))
        options = OPTIONS | (COMPILED if given.compile else {})
        rows = [measure(pair, crop, sets[crop], options, ceiling) for pair, crop in cases]
        for found, (pair, crop) in zip(rows, cases, strict=True):  # last: on a CPU it slows allocation down
            config, dataset = configure(pair, crop), sets[crop]
            starts = {"plain": lambda c=config, d=dataset: plain.steps(c, d, DEVICE)}
            starts["ours"] = lambda c=config, d=dataset: ours(c, d)
            found["peak_mib"] = {name: peak_mib(start) for name, start in starts.items()}
    setting = {
        "device": torch.cuda.get_device_name() if CUDA else platform.machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "command": " ".join(["python benchmarks/loop.py", *(["--compile"] if given.compile else [])]),
        "batch": SCALE.batch,
        "num_workers": SCALE.workers,
        "rounds": SCALE.rounds,
        "steps_a_round": SCALE.steps,
        "matmul_tflops": round(ceiling / 1e12, 4),
    }
    OUT.write_text(json.dumps({"setting": setting, "cases": rows}, indent=1) + "\n", encoding="utf-8")
    show(rows, setting)


def show(rows: list[Row], setting: Row) -> None:
    print(f"{setting['device']}, torch {setting['torch']}, matrix product {setting['matmul_tflops']} TFLOP/s")
    for found in rows:
        crop, peaks = found["crop"], found["peak_mib"]
        print(f"\n{found['pair']}, {crop[0]}x{crop[1]}: peak {peaks['plain']:.0f} MiB plain, {peaks['ours']:.0f} ours")
        print(f"{'loop':22} {'images/s':24} {'x plain':24} {'x ours':20} utilisation (%)")
        for one in found["loops"]:
            told = " ".join(shown(one[name]) for name in ("images_per_s", "over_plain", "over_ours"))
            print(f"{one['loop']:22} {told} {100 * one['utilisation']:8.1f}")


def shown(value: dict[str, float]) -> str:
    return f"{value['median']:7.2f} ({value['low']:.2f}-{value['high']:.2f})".ljust(24)


if __name__ == "__main__":
    main()
