"""The verdict of a confirmation: figures of each finalist on fresh seeds, and what may be said of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from explorer.results import confirmed_runs
from explorer.results.confirmed_runs import Entry
from explorer.statistics.finalists import Interval, Separation, interval, paired, separate
from explorer.study import StudySpec

_NAN = math.nan
_NOT_INDEPENDENT = (
    "Scored on val, which the search chose its finalists on: fresh seeds take away a seed's luck, but these scores are "
    "not independent of the search."
)


@dataclass(frozen=True)
class Row:
    """A finalist with its figures, mIoU in [0, 1].

    Attributes:
        search: mean over its trials of the search.
        folded: those were scored on folds, which are other images than val.
        val: mean over fresh seeds, on the validation split.
        miou: on the split that is asked for, over fresh seeds.
        images: interval of that mean over images. The seeds' students saw the same ones, so their intervals move
            together: it has their mean ends, which is too wide as far as they do not.
        gain: of miou over the matched student alone, paired by seed; of a student alone: over itself, 0.
        has_baseline: a matched student alone was run beside it.
    """

    entry: Entry
    search: float
    folded: bool
    val: float
    miou: Interval
    images: Interval
    gain: Interval
    has_baseline: bool

    @property
    def number(self) -> int:
        return self.entry.sources[0]

    @property
    def curse(self) -> float:
        """What the search said too much; NaN where it was scored on other images."""
        return _NAN if self.folded else self.search - self.val

    @property
    def distils(self) -> bool:
        return bool(self.entry.about.get("method") != "task")


class Verdict(NamedTuple):
    """Attributes:
    rows: the finalists, the best mean first; those with failed runs behind all others.
    separable: no run is open, and the first one is told apart from every other.
    winner: it is, and it beats the matched student alone, unless it is one itself.
    sentences: the verdict, one a line; may hold foreign text.
    reasons: of each row.
    """

    rows: list[Row]
    separable: bool
    winner: bool
    sentences: list[str]
    reasons: list[str]


def seen(spec: StudySpec, search: optuna.Study) -> set[int]:
    """Seeds that the search has used or may use; a fresh one is another."""
    told = (trial.user_attrs.get("seed") for trial in search.get_trials(deepcopy=False))
    return {*spec.seeds, *(seed for seed in told if isinstance(seed, int))}


def verdict(spec: StudySpec, search: optuna.Study, confirmed: optuna.Study) -> Verdict:
    """Compare the finalists on the seeds that are scored so far; while runs are open, none is told apart."""
    used, split = seen(spec, search), confirmed_runs.split_of(confirmed)
    rows = [_row(entry, search, confirmed, used) for entry in confirmed_runs.finalists(confirmed, used)]
    rows = [row for row in rows if row.entry.scores or row.entry.num_failed]
    rows.sort(key=lambda row: (row.entry.num_failed > 0, -np.nan_to_num(row.miou.mean, nan=-1.0), row.number))
    fair = [row for row in rows if row.entry.num_failed == 0]
    if not fair:
        return Verdict(rows, False, False, ["Every finalist has failed runs, so none is recommended."][: len(rows)],
                       [_failed(row) for row in rows])  # fmt: skip
    found = separate([row.entry.scores for row in fair])
    left = confirmed_runs.num_open(confirmed)
    separable = not left and len(fair[0].entry.scores) >= 2 and not found.near
    winner = separable and (not fair[0].distils or fair[0].gain.low > 0)
    others = [_behind(place, fair[0], found) for place in range(1, len(fair))]
    reasons = ["" if winner else _why_not(fair, found, left), *others, *(_failed(row) for row in rows[len(fair) :])]
    sentences = [_who(fair, found, left), *_images(fair[0]), _gains(fair[0]), *_peer(fair[0].entry, confirmed, used)]
    sentences += [f"Trial {row.number}: {_failed(row)}." for row in rows[len(fair) :]]
    sentences += [_NOT_INDEPENDENT] if split == "val" else []
    return Verdict(rows, separable, winner, sentences, reasons)


def _row(entry: Entry, search: optuna.Study, confirmed: optuna.Study, used: set[int]) -> Row:
    trials = search.get_trials(deepcopy=False)
    found = [trials[number] for number in entry.sources if number < len(trials) and trials[number].values]
    known = [trial.values[0] for trial in found]
    alone = confirmed_runs.alone(confirmed, entry.about.get("student"), used)
    gain = interval(paired(entry.scores, alone.scores) if alone else [])
    return Row(
        entry,
        search=float(np.mean(known)) if known else _NAN,
        folded=any(_is_folded(trial) for trial in found),
        val=interval([run.val for run in entry.runs]).mean,
        miou=interval(list(entry.scores.values())),
        images=_over_images(entry),
        gain=gain,
        has_baseline=gain.mean == gain.mean,
    )


def _is_folded(trial: FrozenTrial) -> bool:
    config = trial.user_attrs.get("config")
    return isinstance(config, dict) and config.get("folds") is not None


def _over_images(entry: Entry) -> Interval:
    scored = [run for run in entry.runs if run.score is not None]
    ends = [run.images for run in scored if run.images is not None]
    if not ends or len(ends) < len(scored):
        return Interval(_NAN, _NAN, _NAN)
    low, high = np.mean(ends, axis=0)
    return Interval(float(np.mean([run.score for run in scored])), float(low), float(high))


def _who(fair: list[Row], found: Separation, left: int) -> str:
    best = fair[0]
    score = f"mIoU {_percent(best.miou)} over {len(best.entry.scores)} fresh seeds"
    if left:
        return f"{left} runs are open, so nothing is settled. So far trial {best.number} has the best mean, {score}."
    if len(best.entry.scores) < 2:
        return f"Trial {best.number} has one fresh seed, which tells nothing apart. Add seeds."
    if not found.near:
        apart = "told apart from every other finalist" if len(fair) > 1 else "the only finalist"
        return f"Trial {best.number}, {score}, is {apart}."
    return (
        f"Not separable: {_named([best.number, *(fair[place].number for place in found.near)])} are within "
        f"noise. Trial {best.number} has the best mean, {score}; more seeds may tell them apart."
    )


def _images(best: Row) -> list[str]:
    """How far the best mean would move on other images; nothing where that is not known."""
    if math.isnan(best.images.low):
        return []
    ends = f"[{100 * best.images.low:.2f}, {100 * best.images.high:.2f}]"
    return [f"On other images of the same source, such weights have {ends} %."]


def _gains(best: Row) -> str:
    if not best.distils:
        return "It is a student alone: distillation is not shown to help."
    if not best.has_baseline:
        return "No matched student alone was run, so distillation is not shown to help."
    gain = f"{_points(best.gain)} over the matched student alone on the same seeds"
    return f"It gains {gain}." if best.gain.low > 0 else f"Distillation is not shown to help: it gains {gain}."


def _peer(entry: Entry, confirmed: optuna.Study, used: set[int]) -> list[str]:
    """Of the other student, where two learn together."""
    scores = {run.seed: run.peer for run in entry.runs if run.peer is not None}
    if not scores:
        return []
    alone = confirmed_runs.alone(confirmed, entry.about.get("teacher"), used)
    gain = interval(paired(scores, alone.scores) if alone else [])
    told = "" if math.isnan(gain.mean) else f", {_points(gain)} over itself alone"
    return [f"The other student has mIoU {_percent(interval(list(scores.values())))}{told}."]


def _why_not(fair: list[Row], found: Separation, left: int) -> str:
    """Why the best mean is no winner."""
    if left:
        return f"{left} runs are open"
    if len(fair[0].entry.scores) < 2:
        return "one fresh seed tells nothing apart"
    if found.near:
        return f"not told apart from {_named([fair[place].number for place in found.near])}"
    return "no student alone to compare with" if not fair[0].has_baseline else "not shown to beat the student alone"


def _behind(place: int, best: Row, found: Separation) -> str:
    told = "within noise of" if place in found.near else "below"
    return f"{told} trial {best.number} (p = {found.p[place]:.2g})"


def _failed(row: Row) -> str:
    every = row.entry.num_failed + len(row.entry.runs)
    told = f"{row.entry.num_failed} of {every} runs failed, so its mean is not one over seeds"
    return f"{told}; confirm again to repeat them"


def _percent(found: Interval) -> str:
    span = "" if math.isnan(found.low) else f" [{100 * found.low:.2f}, {100 * found.high:.2f}]"
    return f"{100 * found.mean:.2f} %{span}"


def _points(found: Interval) -> str:
    span = "" if math.isnan(found.low) else f" [{100 * found.low:+.2f}, {100 * found.high:+.2f}]"
    return f"{100 * found.mean:+.2f}{span} points"


def _named(numbers: list[int]) -> str:
    return ("trials " if len(numbers) > 1 else "trial ") + ", ".join(map(str, numbers))
