"""Does fine-tuning for int8 pay? Points of mIoU that int8 loses with and without it, for four students on `earth`.

Each student is taught by kd (a teacher that comes with the data, all labels) and made int8 twice as
`heteroakd export` does it: as it is, and after STEPS more steps of the same trial under rounding. Both are scored on
all of val as their graphs define int8.

Run: `python benchmarks/aware.py`; writes benchmarks/aware.json, and goes on where it was stopped.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

from explorer.bundle.contents import Graphs, graphs
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.kept import atomic, checkpoint
from trainables.loop import train
from trainables.serving import aware, exported, quantised
from trainables.state import student_weights
from trainables.teachers import load_teacher

OUT = Path(__file__).with_suffix(".json")
STEPS = 100
SEEDS = (0, 1, 2)
CNN, TRANSFORMER = "earth:cnn", "earth:transformer"
STUDENTS = {
    "small_students:cnn": TRANSFORMER,
    "segformer:tu-mobilenetv3_small_050": TRANSFORMER,
    "small_students:transformer": CNN,
    "segformer:tu-pvt_v2_b0": CNN,
}
RECIPE: dict[str, Any] = {
    "data": "earth", "method": "kd", "lambda_kd": 5.0, "steps": 200, "eval_every": 200, "batch_size": 8, "lr": 3e-3,
    "crop_height": 96, "crop_width": 96, "scale_min": 0.75, "scale_max": 1.25, "num_threads": 1, "device": "cpu",
}  # fmt: skip


def measure(student: str, seed: int) -> dict[str, Any]:
    config = TrialConfig.parse({**RECIPE, "student": student, "teacher": STUDENTS[student], "seed": seed})
    dataset = open_dataset(config.data)
    teacher = load_teacher(config, dataset=dataset)
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        train(config, dataset=dataset, teacher=teacher, directory=out)
        found = checkpoint.latest(out, digest=config.digest())
        assert found is not None
        began = time.process_time()
        tuned = aware.fine_tune(config, found[0], dataset=dataset, teacher=teacher, steps=STEPS)
        seconds = time.process_time() - began
        asked = Graphs(size=(128, 128), max_loss=math.inf)
        files = graphs(config, student_weights(found[0]), dataset, out, asked, tuned=tuned)
    told = files[quantised.INT8]
    lost = {name: round(told[name], 3) for name in ("plain_lost", "tuned_lost")}
    return {"student": student, "seed": seed, "miou": round(files[exported.ONNX]["miou"], 5), **lost,
            "seconds": round(seconds, 1)}  # fmt: skip


def main() -> None:
    rows = json.loads(OUT.read_text(encoding="utf-8"))["rows"] if OUT.exists() else []
    done = {(row["student"], row["seed"]) for row in rows}
    for seed in SEEDS:
        for student in STUDENTS:
            if (student, seed) in done:
                continue
            rows.append(measure(student, seed))
            print(json.dumps(rows[-1]), flush=True)
            told = {"command": "python benchmarks/aware.py", "steps": STEPS, "recipe": RECIPE, "teachers": STUDENTS}
            atomic.write_text(OUT, json.dumps({**told, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
