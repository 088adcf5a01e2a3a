"""Samples a second of the training feed, against what a training step of the demo's pair takes of them.

Three sets: the embedded `earth` (128 x 128), and two made here of the size and format of VOC (375 x 500 JPEG) and of
Cityscapes (1024 x 2048 PNG), smooth noise with a file's usual bytes. Each is read cold (decoded every time, as a set
is that does not fit into memory), from the memory of each loader process, and from the decoded files that all map;
with crops made beside the files or on the device; by the training process itself and by two more. The caches are
warm. The step is measured on this device, without data loading. One thread a process.
Run: `python benchmarks/data.py`; writes benchmarks/data.json.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from trainables.config import TrialConfig
from trainables.data.cache import SampleCache
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.data.feed import Batch, feed
from trainables.device import pick_device
from trainables.preflight.rehearsal import step_time

PAIR = {"teacher": "fpn:resnet18", "student": "segformer:mit_b0"}  # of demo.yaml
CROPS = {  # height, width, batch
    "earth": (128, 128, 16),
    "375x500 JPEG": (512, 512, 8),
    "1024x2048 PNG": (512, 1024, 4),
}
MADE = {"375x500 JPEG": ((375, 500), "jpg"), "1024x2048 PNG": ((1024, 2048), "png")}
NUM_IMAGES, CLASSES = 12, 19
CACHES, PLACES, WORKERS = ("cold", "memory", "disk"), ("cpu", "device"), (0, 2)
WINDOWS, LEAST_SECONDS = 3, 0.6
OUT = Path(__file__).with_suffix(".json")


def make(root: Path, size: tuple[int, int], suffix: str) -> None:
    """A set in the folder layout."""
    rng = np.random.default_rng(0)
    for split, count in (("train", NUM_IMAGES), ("val", 1)):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            noise = Image.fromarray(rng.integers(0, 256, (size[0] // 32, size[1] // 32, 3), dtype=np.uint8))
            smooth = np.asarray(noise.resize(size[::-1], Image.Resampling.BICUBIC)).astype(np.int16)
            grainy = (smooth + rng.integers(-3, 4, smooth.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(grainy).save(root / "images" / split / f"{number}.{suffix}", quality=90)
            ids = Image.fromarray(rng.integers(0, CLASSES, (size[0] // 64, size[1] // 64), dtype=np.uint8))
            ids.resize(size[::-1], Image.Resampling.NEAREST).save(root / "labels" / split / f"{number}.png")
    described = {"classes": [f"class {number}" for number in range(CLASSES)]}
    (root / "dataset.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")


def configure(name: str, *, cache: str, place: str, workers: int) -> TrialConfig:
    height, width, batch = CROPS[name]
    recipe = {"steps": 10**6, "batch_size": batch, "crop_height": height, "crop_width": width, "num_workers": workers}
    kept = "disk" if cache == "disk" else "memory"
    return TrialConfig.parse({**PAIR, **recipe, "augment_on": place, "image_cache": kept})


def samples_per_second(dataset: SegDataset, config: TrialConfig) -> float:
    """The best of WINDOWS spans of time, once every process has read every image."""
    device = pick_device(config)
    batches = feed(dataset, config, device=device)
    epoch = -(-len(dataset.samples("train")) // config.batch_size)
    taken(batches, epoch * 2 * max(1, config.num_workers))
    rates = [rate(batches, device) * config.batch_size for _ in range(WINDOWS)]
    batches.close()  # type: ignore[attr-defined]
    return max(rates)


def rate(batches: Iterator[Batch], device: torch.device) -> float:
    """Batches a second."""
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < LEAST_SECONDS:
        count += taken(batches, 1)
        if device.type == "cuda":
            torch.cuda.synchronize()
    return count / (time.perf_counter() - started)


def taken(batches: Iterator[Batch], count: int) -> int:
    return sum(1 for _ in itertools.islice(batches, count))


def measure(name: str, root: str) -> dict[str, Any]:
    """Every way of reading one set, and the step it is read for."""
    dataset = open_dataset(root)
    plain = configure(name, cache="memory", place="cpu", workers=0)
    step = min(step_time(plain, dataset=dataset).seconds for _ in range(WINDOWS))
    files = [sample.image.stat().st_size for sample in dataset.samples("train")]
    rows = []
    for cache, place, workers in itertools.product(CACHES, PLACES, WORKERS):
        reader = open_dataset(root)
        if cache == "cold":
            object.__setattr__(reader, "_cache", SampleCache(limit_bytes=0))
        config = configure(name, cache=cache, place=place, workers=workers)
        rate = samples_per_second(reader, config)
        rows.append({"cache": cache, "augment_on": place, "num_workers": workers, "samples_per_s": round(rate, 1)})
    needed = plain.batch_size / step
    crop = {"crop": CROPS[name][:2], "batch": plain.batch_size, "kib_a_file": round(sum(files) / len(files) / 1024)}
    return {"set": name, **crop, "step_s": round(step, 4), "needed_per_s": round(needed, 1), "read": rows}


def show(found: dict[str, Any]) -> None:
    height, width = found["crop"]
    print(
        f"\n{found['set']} ({found['kib_a_file']} KiB a file), crops of {height} x {width}, batch {found['batch']}: ",
        end="",
    )
    print(f"a step takes {1000 * found['step_s']:.0f} ms and {found['needed_per_s']:.1f} samples/s")
    print("cache    augment_on  num_workers   samples/s   x needed")
    for row in found["read"]:
        print(f"{row['cache']:8} {row['augment_on']:10} {row['num_workers']:12} {row['samples_per_s']:11.1f} "
              f"{row['samples_per_s'] / found['needed_per_s']:10.1f}")  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    setting = {
        "device": device,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "images": NUM_IMAGES,
        **PAIR,
    }
    print(f"{device}, {os.cpu_count()} cores, torch {torch.__version__}, {PAIR['teacher']} -> {PAIR['student']}")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HETEROAKD_CACHE"] = str(Path(folder) / "cache")
        for name in CROPS:
            root = "earth"
            if name in MADE:
                root = str(Path(folder) / name)
                make(Path(root), *MADE[name])
            found.append(measure(name, root))
            show(found[-1])
    OUT.write_text(json.dumps({"setting": setting, "sets": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
