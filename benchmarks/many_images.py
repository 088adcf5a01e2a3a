"""Ten times as many unlabelled images: start-up time and memory, at 1024x2048 pixels.

Each row is of a process of its own: open the set, its content hash, the check before a sweep, and the first batches of
a trial whose batch is half unlabelled. The files are links to a few images, so the disk's cache is warm for all rows:
what is compared is our work, not the disk's.

Run: `python benchmarks/many_images.py`; writes benchmarks/many_images.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (1024, 2048)
COUNTS = (100, 1_000, 10_000)
KINDS = 8  # different images, and as many with labels
STEPS, BATCH, CROP = 6, 4, 256
OUT = Path(__file__).with_suffix(".json")


def write(root: Path, count: int) -> None:
    """Four labelled images of each split, and `count` links to KINDS unlabelled ones."""
    rng = np.random.default_rng(0)
    made = root / "made"
    made.mkdir(parents=True)
    for number in range(2 * KINDS):
        coarse = rng.integers(0, 256, (SIZE[0] // 32, SIZE[1] // 32, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC).save(made / f"{number}.jpg", quality=90)
    ids = rng.integers(0, 3, (SIZE[0] // 32, SIZE[1] // 32), dtype=np.uint8).repeat(32, 0).repeat(32, 1)
    Image.fromarray(ids).save(made / "mask.png")
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(KINDS // 2):
            source = made / f"{number + KINDS // 2 * (split == 'val')}.jpg"
            os.link(source, root / "images" / split / f"{number}.jpg")
            os.link(made / "mask.png", root / "labels" / split / f"{number}.png")
    folder = root / "images/unlabelled"
    folder.mkdir()
    for number in range(count):
        os.link(made / f"{KINDS + number % KINDS}.jpg", folder / f"u{number:06}.jpg")
    (root / "dataset.yaml").write_text("classes: [a, b, c]\n", encoding="utf-8")


def measure(root: Path) -> dict[str, float]:
    """Seconds of each part and the most memory, MiB, of this process beyond its imports."""
    from trainables.config import TrialConfig
    from trainables.data.catalogue import open_dataset
    from trainables.data.check import verify, verify_unlabelled
    from trainables.data.loader import train_batches

    crop = {"crop_height": CROP, "crop_width": CROP, "batch_size": BATCH, "steps": STEPS}
    config = TrialConfig.parse({"method": "task", "unlabelled_ratio": 0.5, "device": "cpu", **crop})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, began = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal began
        found[name] = round(time.perf_counter() - began, 3)
        began = time.perf_counter()

    dataset = open_dataset(str(root))
    lap("open_seconds")
    dataset.digest()
    lap("digest_seconds")
    verify(dataset)
    verify_unlabelled(dataset, config)
    lap("check_seconds")
    for _ in train_batches(dataset, config):
        pass
    lap("batches_seconds")
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {**found, "peak_mib": round(peak, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    if root := parser.parse_args().measure:
        print(json.dumps(measure(root)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in COUNTS:
            root = Path(folder) / str(count)
            write(root, count)
            command = [sys.executable, __file__, "--measure", str(root)]
            environment = {**os.environ, "HETEROAKD_CACHE": str(Path(folder) / "cache")}
            said = subprocess.run(command, capture_output=True, check=True, encoding="utf-8", env=environment)
            rows.append({"unlabelled": count, **json.loads(said.stdout.splitlines()[-1])})
            print(rows[-1], flush=True)
    setting = {"size": SIZE, "steps": STEPS, "batch_size": BATCH, "crop": CROP, "date": time.strftime("%Y-%m-%d")}
    OUT.write_text(json.dumps({**setting, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
