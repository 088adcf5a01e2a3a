"""What int8 and fp16 cost each network of ours in points of mIoU, and how much faster they are here.

Every network of NETWORKS trains alone for 100 steps on whole images of `earth`, 128 x 128 pixels. Its graph of that
size is written, made int8 and fp16 and scored on all of val as `heteroakd export` does it, and timed by the bundle's
bench.py; what loses more than a point is left out there, so it has no time here. One process a network, one thread; a
network that the file holds is kept. Run:
`python benchmarks/quantised.py [--only mit_b0,r18] [--again]`; writes benchmarks/quantised.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from rich.console import Console
from rich.table import Table

from explorer.bundle import snippet_bench
from search_spaces.pairs import NETWORKS
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.kept import checkpoint
from trainables.run import run_trial
from trainables.serving import exported, quantised, samples

OUT = Path(__file__).with_suffix(".json")
COMMAND = "python benchmarks/quantised.py"
SIZE = (128, 128)
RECIPE: dict[str, Any] = {
    **{"steps": 100, "batch_size": 4, "crop_height": 128, "crop_width": 128, "lr": 1e-3},
    **{"eval_every": 100, "num_threads": 1, "device": "cpu", "method": "task", "seed": 0},
}
RUNS = 30
_SCORES = ("miou", "points_lost", "points_lost_here", "mib", "quantised", "reason")


def measure(name: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    dataset = open_dataset("earth")
    config = TrialConfig(student=NETWORKS[name].model, **RECIPE)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run_trial(config, dataset=dataset, directory=folder / "trial", report=lambda _: None)
        held, _ = checkpoint.load(next((folder / "trial").glob("*.safetensors")))
        prefix = "student."
        weights = {one.removeprefix(prefix): tensor for one, tensor in held.items() if one.startswith(prefix)}
        student = samples.network(config, config.student, weights, dataset.num_classes)
        images = [dataset.read(sample)[0] for sample in dataset.samples("val")[:2]]
        files = exported.write(student, config, images, folder, size=SIZE)
        files |= quantised.write(folder, config, dataset, files[exported.ONNX])
        told = {"student": config.student, "layout": "nchw", "files": files}
        (folder / "metrics.json").write_text(json.dumps(told), encoding="utf-8")
        timed = snippet_bench.bench(folder, runs=RUNS)["results"] if "size" in files[exported.ONNX] else []
    times = {row["file"]: {"p50_ms": row["p50_ms"], "p90_ms": row["p90_ms"]} for row in timed}
    forms = {file: facts for file, facts in files.items() if file != exported.PT2}
    return {
        "model": config.student,
        "files": {
            file: {**{key: facts[key] for key in _SCORES if key in facts}, **times.get(file, {})}
            for file, facts in forms.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(NETWORKS))
    parser.add_argument("--again", action="store_true", help="measure those that the file holds, too")
    asked = parser.parse_args()
    rows = json.loads(OUT.read_text(encoding="utf-8"))["networks"] if OUT.exists() else {}
    for name in asked.only.split(","):
        if name in rows and not asked.again:
            continue
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            rows[name] = pool.submit(measure, name).result()
        told = {"command": COMMAND, "onnxruntime": onnxruntime.__version__, "size": [*SIZE], **_setting()}
        OUT.write_text(json.dumps({**told, "networks": rows}, indent=1) + "\n", encoding="utf-8")
    table = Table("network", "file", "mIoU, %", "points lost", "p50, ms")
    for name, row in rows.items():
        for file, facts in row["files"].items():
            scores = [f"{100 * facts['miou']:.2f}"] if "miou" in facts else [facts.get("reason", "")]
            lost = f"{facts['points_lost']:.2f}" if "points_lost" in facts else ""
            table.add_row(name, file, *scores, lost, f"{facts['p50_ms']:.1f}" if "p50_ms" in facts else "")
    Console().print(table)


def _setting() -> dict[str, Any]:
    return {"steps": RECIPE["steps"], "crop": RECIPE["crop_height"], "runs": RUNS, "of": len(NETWORKS)}


if __name__ == "__main__":
    main()
