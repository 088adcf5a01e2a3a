"""The panel of one trial: what it was, what it reached, and what its student sees."""

from __future__ import annotations

import base64
import io
from typing import Any

import pandas as pd
from PIL import Image

from dashboards import marks
from dashboards.frames import StudyFrames
from dashboards.live import dom, tables
from dashboards.live.dom import Tree, tag
from dashboards.live.source import Detail, Picture, Pictures

_KINDS = {"image": "input", "label": "label", "teacher": "teacher", "student": "student", "difference": "difference"}
_PHOTOS = ("image", "difference")


def split(key: str | None) -> tuple[str, int] | None:
    """Role and number from "search-12"; None for anything else."""
    role, _, number = (key or "").rpartition("-")
    known = role in ("search", "baseline") and number.isascii() and number.isdecimal() and len(number) < 10
    return (role, int(number)) if known else None


def row_of(frames: StudyFrames, key: str | None) -> pd.Series | None:
    """The trial's row, if the frames hold it."""
    found = split(key)
    if found is None:
        return None
    rows = frames.trials[(frames.trials["role"] == found[0]) & (frames.trials["number"] == found[1])]
    return None if rows.empty else rows.iloc[0]


def title(row: pd.Series) -> str:
    """Plain text."""
    return f"{'Search trial' if row['role'] == 'search' else 'Student alone, trial'} {row['number']}"


def facts(row: pd.Series, detail: Detail) -> list[Tree]:
    """State, reason, scores, searched values; then the whole config, folded."""
    trial = {str(name): value for name, value in row.items()}
    who = trial["student"] if pd.isna(trial["pair"]) else trial["pair"]
    at = f" at step {trial['step']} of {trial['budget']}, seed {trial['seed']}, {trial['method']}"
    searched = marks.config(trial)
    return [
        tag("p", str(who), class_="who"),
        tag("p", tables.state(trial["state"]), at),
        *([_reason(trial)] if pd.notna(trial["reason"]) else []),
        dom.facts(_scores(trial), class_="scores"),
        *([tag("h3", "Searched"), dom.facts(searched)] if searched else []),
        *([_config(detail)] if detail.config else []),
    ]


def _reason(trial: dict[str, Any]) -> Tree:
    """A failure's stands out; a pruner's verdict does not."""
    return tag("p", str(trial["reason"]), class_="reason" if trial["state"] == "FAIL" else "caption")


def _scores(trial: dict[str, Any]) -> list[tuple[str, str]]:
    """Label and text of what is known."""
    told = [
        ("mIoU", trial["miou"], "{:.2f} %"),
        ("on other images from", trial["miou_low"], "{:.2f} %"),
        ("to", trial["miou_high"], "{:.2f} %"),
        ("student alone", trial["baseline"], "{:.2f} %"),
        ("gain", trial["gain"], "{:+.2f} points"),
        ("other student", trial["peer_miou"], "{:.2f} %"),
        ("its gain", trial["peer_gain"], "{:+.2f} points"),
    ]
    scores = [(label, form.format(100 * value)) for label, value, form in told if pd.notna(value)]
    if pd.notna(trial["parameters_millions"]):
        scores.append(("student's size", f"{trial['parameters_millions']:.2f} M weights"))
    if pd.notna(trial["relative_cost"]):
        scores.append(("a step costs", f"{trial['relative_cost']:.2f} times the student alone's"))
    if trial["steps"] != trial["budget"]:
        scores.append(("trained for", f"{trial['steps']} steps, for the compute of {trial['budget']} of the student's"))
    if pd.notna(trial["seconds"]):
        scores.append(("trained for", f"{trial['seconds']:.0f} s"))
    return scores


def _config(detail: Detail) -> Tree:
    return tag("details", tag("summary", "Whole config"), dom.facts(detail.config.items(), class_="config"))


def classes(detail: Detail) -> list[Tree]:
    """IoU by class as bars, with a tick where the student alone is."""
    if not len(detail.iou):
        return []
    note = "The tick is the student alone; the number behind it, the difference." if len(detail.alone) else ""
    note = "Names of the classes are being looked up." if detail.pending else note
    rows = [
        _bar(_name(detail, index), iou, detail.alone[index] if index < len(detail.alone) else float("nan"))
        for index, iou in enumerate(detail.iou)
    ]
    return [tag("h3", "IoU by class"), tag("p", note, class_="caption"), tag("ul", rows, class_="bars")]


def _name(detail: Detail, index: int) -> Tree:
    """The class behind its colour in the sample predictions."""
    name = str(detail.classes[index]) if index < len(detail.classes) else f"class {index}"
    if index >= len(detail.palette):
        return tag("span", name, class_="name")
    red, green, blue = (int(part) for part in detail.palette[index])
    swatch = tag("span", class_="swatch", style=f"background: rgb({red}, {green}, {blue})", aria_hidden="true")
    return tag("span", swatch, name, class_="name")


def _bar(name: Tree, iou: float, alone: float) -> Tree:
    known, compared = iou == iou, alone == alone
    text = f"{100 * iou:.1f} %" if known else "–"
    if known and compared:
        text += f" ({100 * (iou - alone):+.1f})"
    drawn = tag(
        "span",
        tag("span", class_="fill", style=f"width: {100 * iou if known else 0:.1f}%"),
        tag("span", class_="tick", style=f"left: {100 * alone:.1f}%") if compared else None,
        class_="bar",
        aria_hidden="true",
    )
    return tag("li", name, drawn, tag("span", text, class_="value"))


def pictures(found: Pictures) -> list[Tree]:
    """Input, label, teacher, student and difference, one row an image."""
    head = tag("h3", "Sample predictions")
    if found.pending:
        return [head, tag("p", "Computing: the networks are loaded and run.", class_="caption busy", role="status")]
    if found.note:
        return [head, tag("p", found.note, class_="caption")]
    key = "Difference: wrong pixels in orange, ignored ones striped."
    return [head, tag("p", key, class_="caption"), *(_sample(sample) for sample in found.samples)]


def _sample(sample: Picture) -> Tree:
    score = "" if sample.miou != sample.miou else f": mIoU {100 * sample.miou:.1f} % on it"
    shown = [(kind, words, getattr(sample, kind)) for kind, words in _KINDS.items()]
    figures = [_figure(sample.name, words, uri(array, photo=kind in _PHOTOS)) for kind, words, array in shown
               if array is not None]  # fmt: skip
    return tag("div", tag("p", f"{sample.name}{score}", class_="caption"), tag("div", figures, class_="sheet"))


def _figure(name: str, words: str, source: str) -> Tree:
    return tag("figure", tag("img", src=source, alt=f"{words} of {name}"), tag("figcaption", words))


def uri(array: Any, *, photo: bool) -> str:
    """An RGB array as a data: URI; photos as JPEG, areas of colour as PNG."""
    held = io.BytesIO()
    Image.fromarray(array).save(held, "JPEG" if photo else "PNG", **({"quality": 88} if photo else {}))
    return f"data:image/{'jpeg' if photo else 'png'};base64,{base64.b64encode(held.getvalue()).decode()}"
