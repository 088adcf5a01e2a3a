"""The bundle: a trial's config and weights, what they score, what made them, and all one needs to use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import yaml

from explorer.bundle import bought, contents, hub
from explorer.bundle.card import card
from explorer.bundle.chosen import By, Chosen, choose
from explorer.bundle.markdown import percent, points
from explorer.bundle.provenance import provenance
from explorer.bundle.reproduce import EXACT, NEAR
from explorer.results import trial_table
from explorer.results.trained import teacher_caches
from explorer.results.trials import frames_of, load_studies
from trainables.bands import RGB
from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.device import pick_device
from trainables.errors import StudyError
from trainables.extras import need
from trainables.kept import atomic, checkpoint
from trainables.losses.find import find_method
from trainables.scoring.evaluate import evaluate_weights
from trainables.serving import aware, exported, samples

_GRAPHS = contents.Graphs()


@atomic.outside_a_sweep()
def export(
    directory: Path,
    out: Path,
    *,
    by: By | None = None,
    trial: int | None = None,
    graphs: contents.Graphs | None = _GRAPHS,
    for_hub: Path | None = None,
    licence: str | None = None,
) -> dict[str, Any]:
    """Write a bundle: `README.md` lists what it holds.

    The weights are scored again on the validation split (and on the test split if there is one) before anything is
    written, so that a bundle never claims what it does not hold.

    Args:
        by: what "best" means among complete search trials; `gain` is over the matched student alone. None: what
            `heteroakd confirm` has confirmed, else miou.
        trial: a search trial's number instead of the best.
        graphs: which ONNX and torch.export files; None: none.
        for_hub, licence: also a folder for the hub, see `hub.write`.

    Returns:
        What `metrics.json` holds.

    Raises:
        MissingExtra: `graphs` without the packages that write and check them.
        ConfigError: `out` holds other files or is no folder, both `by` and `trial` are given, or graphs that cannot be.
        ModelError: `for_hub` with a network that segmentation-models-pytorch does not have.
        StudyError: no such trial, its checkpoint is gone, the data set changed, the weights score otherwise, or what
            taught is gone and was to teach on.
        NonFiniteLoss: it could not be fine-tuned for int8.
        Interrupted: the disk is full.
    """
    if graphs:
        graphs.check()
        need("onnx", "onnxscript", "onnxruntime", otherwise="or export with --no-onnx")
    contents.check(out)
    spec, studies = load_studies(directory)
    chosen = choose(spec, directory, studies, by=by, trial=trial)
    config, dataset = chosen.trained.config, chosen.trained.dataset
    if for_hub is not None:
        hub.check(config, dataset, for_hub)
    if graphs:
        graphs.check(config)
    metrics = {**_metrics(chosen), "teacher": _teacher(config, studies["search"]), "study": spec.name}
    frames = frames_of(directory, spec, studies, gains=False)
    metrics["compute"] = bought.record(chosen, frames)
    made_by = {
        **provenance(config, dataset=dataset),
        "study": spec.name,
        "device": chosen.trained.trial.user_attrs.get("device"),
    }
    tuned = _tuned(chosen, directory, graphs.qat_steps) if graphs and graphs.qat_steps else None
    atomic.write_text(out / contents.MARK, json.dumps(made_by, indent=2) + "\n")
    contents.copy_code(metrics["own_code"], out)
    _write_weights(chosen, out)
    contents.without_graphs(out)
    told = contents.graphs(config, chosen.trained.student, dataset, out, graphs, tuned=tuned) if graphs else {}
    metrics |= {"files": told, "layout": "nhwc" if graphs and graphs.nhwc else "nchw"}
    metrics["gives"] = "ids" if graphs and graphs.ids else "logits"
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    atomic.write_text(
        out / "best.yaml", f"# {_headline(metrics)}\n# Repeat the trial: heteroakd train best.yaml\n{text}"
    )
    atomic.write_text(out / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    atomic.write_text(out / "README.md", card(metrics, config, dataset, made_by))
    contents.scripts(made_by, out, onnx="size" in told.get(exported.ONNX, {}))
    trial_table.write(frames.trials, out)
    if for_hub is not None:
        hub.write(chosen, metrics, made_by, for_hub, licence=licence)
    return metrics


def _tuned(chosen: Chosen, directory: Path, steps: int) -> dict[str, Any]:
    """The student's weights, fine-tuned for int8 by what taught it."""
    config, dataset = samples.here(chosen.trained.config), chosen.trained.dataset
    taught = find_method(config.method).needs_teacher
    teacher = samples.known_teacher(config, dataset, caches=teacher_caches(directory)) if taught else None
    if taught and teacher is None:
        raise StudyError(
            f"{config.teacher} taught trial {chosen.number} and is not here any more, so it cannot teach on for int8. "
            "Leave --qat-steps out."
        )
    return aware.fine_tune(config, chosen.trained.learnt, dataset=dataset, teacher=teacher, steps=steps)


def _metrics(chosen: Chosen) -> dict[str, Any]:
    config, dataset = chosen.trained.config, chosen.trained.dataset
    on_cpu = chosen.trained.trial.user_attrs.get("device") == pick_device(config).type == "cpu"
    within = EXACT if on_cpu else NEAR
    weights, peer = chosen.trained.student, chosen.trained.peer
    metrics = {
        "trial": chosen.number,
        "chosen": chosen.reason,
        "complete_trials": chosen.num_complete,
        "pair": chosen.pair,
        "student": config.student,
        "miou": chosen.miou,
        "baseline_miou": _number(chosen.baseline),
        "gain": _number(chosen.gain),
        "over_seeds": None
        if chosen.over_seeds is None
        else dict(zip(("miou", "low", "high"), map(_number, chosen.over_seeds), strict=True)),
        "confirmed": _confirmed(chosen),
        "splits": _scored(config, weights, dataset, recorded=chosen.miou, within=within, trial=chosen.number),
        "classes": list(dataset.classes),
        "palette": [list(colour) for colour in dataset.palette],
        "ignore_index": dataset.ignore_index,
        "bands": dataset.bands.content,
        "evaluation": {
            "mode": config.eval_mode,
            "height": config.crop_height,
            "width": config.crop_width,
            "stride": config.eval_stride,
        },
        "parameters_millions": contents.num_parameters(config, dataset) / 1e6,
        "own_code": contents.own_code(config),
    }
    if peer:
        as_student = config.model_copy(update={"student": config.teacher})
        recorded = chosen.peer_miou
        metrics["peer"] = {
            "model": config.teacher,
            "miou": recorded,
            "baseline_miou": _number(chosen.peer_baseline),
            "gain": _number(recorded - chosen.peer_baseline),
            "splits": _scored(as_student, peer, dataset, recorded=recorded, within=within, trial=chosen.number),
        }
    return metrics


def _teacher(config: TrialConfig, search: optuna.Study) -> dict[str, Any] | None:
    """What taught: the model, its mIoU on val where that is known, and whether its weights were the user's own."""
    if not config.is_taught:
        return None
    scores = search.user_attrs.get("teachers")
    score = scores.get(config.teacher) if isinstance(scores, dict) else None
    known = _number(score) if isinstance(score, float) else None
    return {"model": config.teacher, "miou": known, "own_weights": not config.trains_teacher}


def _confirmed(chosen: Chosen) -> dict[str, Any] | None:
    """What the confirmation says of the config, over its fresh seeds; not of these weights alone."""
    found = chosen.confirmation
    if found is None:
        return None
    figures = (
        *("search_miou", "val_miou", "curse", "miou", "miou_low", "miou_high", "images_low", "images_high"),
        *("gain", "gain_low", "gain_high"),
    )
    return {
        "run": found.run,
        "seed": found.seed,
        "split": found.split,
        "num_seeds": int(found.row["num_seeds"]),
        **{name: _number(float(found.row[name])) for name in figures},
        "separable": found.separable,
        "winner": found.winner,
        "open_runs": found.num_open,
        "verdict": list(found.sentences),
    }


def _scored(
    config: TrialConfig, weights: dict[str, Any], dataset: SegDataset, *, recorded: float, within: float, trial: int
) -> dict[str, Any]:
    """mIoU, its interval over images and IoU by class of the student's weights, by split.

    Raises:
        StudyError: the validation split is not `within` what the sweep recorded.
    """
    splits = [split for split in ("val", "test") if split in dataset.splits]
    scores = {split: evaluate_weights(config, weights, dataset, split) for split in splits}
    if not abs(scores["val"].miou - recorded) <= within:
        raise StudyError(
            f"The weights of {config.student!r} in trial {trial} score mIoU {scores['val'].miou:.6f}, but the sweep "
            f"recorded {recorded:.6f}. Was it run with other versions?"
        )
    return {
        split: {**score.named(), "iou": dict(zip(dataset.classes, score.iou, strict=True))}
        for split, score in scores.items()
    }


def _write_weights(chosen: Chosen, out: Path) -> None:
    config, dataset = chosen.trained.config, chosen.trained.dataset
    labels: dict[str, Any] = {"classes": dataset.classes, "palette": dataset.palette}
    labels |= {} if dataset.bands == RGB else {"bands": dataset.bands.record}
    of = {"student": (config.student, chosen.trained.student), "peer": (config.teacher, chosen.trained.peer)}
    for name, (model, weights) in of.items():
        path = out / f"{name}.safetensors"
        if weights:
            checkpoint.write(path, weights, {"model": model, **labels})
        else:
            path.unlink(missing_ok=True)  # of an earlier bundle here


def _headline(metrics: dict[str, Any]) -> str:
    """One line, whatever the study's texts hold."""
    gain = metrics["gain"]
    against = f", {points(gain)} points over the student alone" if gain is not None else ""
    line = f"trial {metrics['trial']}: {metrics['pair']}, mIoU {percent(metrics['miou'])}{against}"
    return " ".join(line.split()).encode("utf-8", "replace").decode()


def _number(value: float) -> float | None:
    return None if value != value else float(value)
