"""Record real learning curves for `worlds.py`: random configs of a mixed space, each trained whole with every seed.

`earth` at half its resolution, so that a crop of 64 pixels is a whole image; 10 tiles keep their labels, the others of
train are unlabelled images. The teachers have seen all labels of train. Configs are the points of a scrambled Sobol
sequence; nothing is pruned, tuned or left out. Finished trials are kept in a log, config by config, so a recording can
be stopped, started again and made longer. What a teacher says of an image is computed once.

Run: `python benchmarks/record.py`; writes benchmarks/record.json, with `surface.py`'s figures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import surface
from scipy.stats import qmc

SPACE: dict[str, dict[str, Any]] = {
    "method": {"choices": ["task", "kd", "heteroakd"]},
    "pair": {"choices": ["cnn:transformer", "transformer:cnn"]},
    "lr": {"low": 1e-3, "high": 2e-2, "log": True},
    "lambda_kd": {"low": 0.3, "high": 100.0, "log": True, "methods": ["kd", "heteroakd"]},
    "temperature": {"low": 1.0, "high": 4.0, "log": True, "methods": ["kd", "heteroakd"]},
    "unlabelled_ratio": {"low": 0.0, "high": 0.8, "log": False, "methods": ["kd", "heteroakd"]},
    "lambda_hakd": {"low": 0.1, "high": 30.0, "log": True, "methods": ["heteroakd"]},
}
SEEDS = [0, 1, 2, 3]
STEPS, REPORTS, LABELLED, SIDE = 360, 6, 10, 64
VIEW = {"crop_height": SIDE, "crop_width": SIDE, "scale_min": 1.0, "scale_max": 1.5, "flip_vertical": 0.5}
BASE: dict[str, Any] = {
    "steps": STEPS, "eval_every": STEPS // REPORTS, "batch_size": 8, "ema_decay": 0.98, "projector_tap": "stage3",
    "device": "cpu", "num_threads": 1, "fold_teacher": False, **VIEW,
    "teacher_recipe": {"steps": 500, "batch_size": 8, "lr": 1e-3, "ema_decay": 0.98, "num_threads": 1, **VIEW},
}  # fmt: skip
OUT = Path(__file__).with_suffix(".json")


def configs(number: int) -> list[dict[str, Any]]:
    """The first points of the sequence; a dimension that a config's method does not read is left out."""
    found = []
    for place in qmc.Sobol(len(SPACE), seed=16).random(1 << (number - 1).bit_length())[:number]:
        point: dict[str, Any] = {}
        for (name, kind), share in zip(SPACE.items(), place.tolist(), strict=True):
            if point.get("method") not in kind.get("methods", [point.get("method")]):
                continue
            if "choices" in kind:
                point[name] = kind["choices"][int(share * len(kind["choices"]))]
                continue
            low, high = kind["low"], kind["high"]
            point[name] = float(f"{low * (high / low) ** share if kind['log'] else low + (high - low) * share:.3g}")
        found.append(point)
    return found


def trial_values(point: dict[str, Any], seed: int) -> dict[str, Any]:
    """The fields of a TrialConfig."""
    teacher, student = point["pair"].split(":")
    own = {name: value for name, value in point.items() if name != "pair"}
    networks = {"teacher": f"small_students:wide_{teacher}", "student": f"small_students:{student}"}
    return {**BASE, **own, **networks, "seed": seed}


def halved(folder: Path) -> Any:
    """`earth` at half its resolution: images by averages over 2x2 pixels, labels by the upper left one of them."""
    from runs import smaller

    from trainables.data.catalogue import open_dataset

    smaller(open_dataset("earth").root, folder, 2)
    return open_dataset(str(folder))


def record(jobs: list[tuple[dict[str, Any], int]], log: Path, folder: Path) -> None:
    """Train these (config, seed) one after another and append their curves to the log."""
    from trainables import loop
    from trainables.config import TrialConfig
    from trainables.data.few import Few
    from trainables.errors import NonFiniteLoss
    from trainables.scoring.evaluate import evaluate
    from trainables.teachers import load_teacher

    vars(loop)["gradient_shares"] = lambda *_: {}  # reported only; three backward passes an evaluation
    dataset = halved(folder)
    few = Few(str(folder), LABELLED).of(dataset)
    teachers: dict[str, Any] = {}
    for point, seed in jobs:
        config = TrialConfig.parse(trial_values(point, seed))
        if config.is_taught and config.teacher not in teachers:
            teacher = load_teacher(config, dataset=dataset)
            score = {split: evaluate(teacher, dataset, split, config).miou for split in ("val", "test")}
            append(log, {"teacher": config.teacher, **score})
            teachers[config.teacher] = remembering(teacher, config.projector_tap)
        began, curve = (time.perf_counter(), time.process_time()), []
        with tempfile.TemporaryDirectory() as own, suppress(NonFiniteLoss):
            loop.train(
                config,
                dataset=few,
                teacher=teachers[config.teacher] if config.is_taught else None,
                directory=Path(own),
                report=lambda found, curve=curve: curve.append(round(found.miou, 5)),
            )
        spent = {"seconds": time.perf_counter() - began[0], "cpu_seconds": time.process_time() - began[1]}
        append(log, {"params": point, "seed": seed, "miou": curve, **{k: round(v, 1) for k, v in spent.items()}})


def append(log: Path, line: dict[str, Any]) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def remembering(teacher: Any, tap: str) -> Any:
    """The teacher, what it says of each image kept: its logits and a tap."""
    import torch

    from trainables.models.segmodel import Features

    forward, kept = teacher.forward, {}

    def lookup(pixels: Any) -> Any:
        keys = [hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest() for image in pixels]
        if new := [place for place, key in enumerate(keys) if key not in kept]:
            said = forward(pixels[new])
            for row, place in enumerate(new):
                kept[keys[place]] = said.logits[row].clone(), said.taps[tap][row].clone()
        logits, taps = zip(*(kept[key] for key in keys), strict=True)
        return Features(torch.stack(logits), {tap: torch.stack(taps)})

    teacher.forward = lookup
    return teacher


def known(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--configs", type=int, default=32)
    parser.add_argument("--log", type=Path, default=Path("record.jsonl"))
    options = parser.parse_args()
    done = [(line["params"], line["seed"]) for line in known(options.log) if "params" in line]
    jobs = [(point, seed) for point in configs(options.configs) for seed in SEEDS if (point, seed) not in done]
    if jobs:
        with tempfile.TemporaryDirectory() as folder:
            record(jobs, options.log, Path(folder))
    write(known(options.log))


def write(lines: list[dict[str, Any]]) -> None:
    """The table: each config's curves by seed, where it has been trained with all; and what they say."""
    from trainables.kept import atomic

    trials = [line for line in lines if "params" in line]
    points = {json.dumps(trial["params"]): trial["params"] for trial in trials}
    rows = []
    for key, params in points.items():
        own = {trial["seed"]: trial for trial in trials if json.dumps(trial["params"]) == key}
        if len(own) == len(SEEDS):
            miou, seconds = ([own[seed][name] for seed in SEEDS] for name in ("miou", "cpu_seconds"))
            rows.append({"params": params, "miou": miou, "cpu_seconds": seconds})
    found: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"), "data": {"name": "earth", "side": SIDE, "labelled": LABELLED},
        "space": SPACE, "seeds": SEEDS, "steps": STEPS, "reports": REPORTS, "base": BASE,
        "teachers": {line["teacher"]: line for line in lines if "teacher" in line},
    }  # fmt: skip
    found["figures"] = surface.figures({**found, "configs": rows})
    head = json.dumps(found, indent=1).removesuffix("\n}")
    body = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    atomic.write_text(OUT, f'{head},\n "configs": [\n{body}\n ]\n}}\n')
    print(f"{OUT}: {len(rows)} configs, {len(SEEDS)} seeds each")


if __name__ == "__main__":
    main()
