"""Which networks of ours become ONNX and torch.export files, in which sizes, and how far the files are from PyTorch.

Every network of NETWORKS, with random weights and 7 classes, is written as `heteroakd export` writes a student and held
against `evaluate.predict` on images of `earth`, one of them of an odd size. One process a network, one thread. Run:
`python benchmarks/exported.py [--only mit_b0,r18]`; writes benchmarks/exported.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from search_spaces.pairs import NETWORKS
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.models.build import build
from trainables.serving import exported

OUT = Path(__file__).with_suffix(".json")
COMMAND = "python benchmarks/exported.py"


def measure(name: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dataset = open_dataset("earth")
    images = [dataset.read(sample)[0] for sample in dataset.samples("val")[:2]]
    images.append(images[0][:, :97, :111])
    student = build(NETWORKS[name].model, num_classes=dataset.num_classes)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = exported.write(student, TrialConfig(), images, Path(folder))
        for file, facts in found.items():
            if "reason" not in facts:
                facts["mib"] = round((Path(folder) / file).stat().st_size / 2**20, 1)
    return {"model": NETWORKS[name].model, "seconds": round(time.perf_counter() - start, 1), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(NETWORKS))
    rows = json.loads(OUT.read_text(encoding="utf-8"))["networks"] if OUT.exists() else {}
    for name in parser.parse_args().only.split(","):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            rows[name] = pool.submit(measure, name).result()
        OUT.write_text(
            json.dumps({"command": COMMAND, "torch": torch.__version__, "networks": rows}, indent=1) + "\n",
            encoding="utf-8",
        )
    table = Table("network", "model", *(exported.ONNX, exported.PT2), "seconds")
    for name, row in rows.items():
        table.add_row(
            name, row["model"], *(_told(row[file]) for file in (exported.ONNX, exported.PT2)), str(row["seconds"])
        )
    Console().print(table)


def _told(facts: dict[str, Any]) -> str:
    return facts.get("reason") or f"{facts['size']}, logits within {facts['max_abs_diff']:.1e}"


if __name__ == "__main__":
    main()
