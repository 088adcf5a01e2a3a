"""The front page's table: ten claims, each with its figure and where the whole measurement stands."""

from __future__ import annotations

from typing import Any

from writers.figures import exported, intervals, kernel, loop, methods, search, sensitivity
from writers.words import between, count, listed, percent, table

SOURCES: tuple[str, ...] = (
    "search.json",
    "sensitivity.json",
    "intervals.json",
    "methods.json",
    "sharing.json",
    "loop.json",
)
SOURCES += ("kernel.json", "overhead.json", "thousand.json", "exported.json")


def claims(*found: Any, folder: str) -> str:
    """Claim, figure, link; `folder` leads from the page to docs/."""
    of = dict(zip((name.removesuffix(".json") for name in SOURCES), found, strict=True))
    rows = [
        ("Budgets to recommend a config as good as random search does after 40", search.front(of["search"]), "search"),
        ("Dimensions whose importance is in the wrong order", _order(of["sensitivity"]), "importances"),
        ("A 90 % interval of a gain holds the truth", _gains(of["intervals"]), "intervals-and-winners"),
        ("Equal finalists of which one is named the winner", intervals.equal(of["intervals"]), "intervals-and-winners"),
        ("Largest gain of a method at its paper's weight", _methods(of["methods"]), "methods"),
        ("Trials a second of students that share a teacher", _sharing(of["sharing"]), "sharing-a-teacher"),
        ("Images a second against a plain loop", _loop(of["loop"]), "training-loop"),
        ("HeteroAKD's loss in one pass against term by term", _kernel(of["kernel"]), "kernels"),
        ("What the engine adds to training", _engine(of["overhead"], of["thousand"]), "the-engine"),
        ("Networks that leave as ONNX and torch.export", _exported(of["exported"]), "exported-networks"),
    ]
    linked = ((claim, figure, f"[{_named(anchor)}]({folder}measured.md#{anchor})") for claim, figure, anchor in rows)
    return table(("what is measured", "figure", "more"), linked)


def _named(anchor: str) -> str:
    return anchor.replace("-", " ")


def _order(found: Any) -> str:
    ours, stock = (found["all"]["wrong_order"][one] for one in (sensitivity.OURS, sensitivity.PED))
    return f"{percent(ours, 1)} %; Optuna's default: {percent(stock, 1)} %"


def _gains(found: Any) -> str:
    shares = [100 * own[key] for own in found["gains"].values() for key in ("coverage_typical", "coverage_best")]
    return f"{between(shares, '.0f')} % of the time"


def _methods(found: Any) -> str:
    every = [
        methods.in_errors(methods.gains(found, pair, row))
        for pair in methods.pairs(found)
        for row in methods.rows_of(found)
        if row != methods.ALONE
    ]
    seeds = len(methods.chosen(found, methods.pairs(found)[0], methods.ALONE))
    return f"{max(every):.1f} standard errors, with {seeds} seeds"


def _sharing(found: Any) -> str:
    most = max(own["students"] for own in found["sharing"])
    gained = [own["gain"] for own in found["sharing"] if own["students"] == most]
    return f"{between(gained, '.2f')} times, {most} students; whole sweep {found['sweeps'][-1]['gain']:.2f} times"


def _loop(found: Any) -> str:
    ratios = [loop.loop(case, "ours")["over_plain"]["median"] for case in found["cases"]]
    return f"{listed(f'{ratio:.2f}' for ratio in ratios)} times, on a CPU"


def _kernel(found: Any) -> str:
    times, memories = zip(*kernel.ratios(found), strict=True)
    return f"{between(times, '.2f')} of the time, {between(memories, '.2f')} of the memory"


def _engine(overhead: Any, thousand: Any) -> str:
    ratio, each = overhead["sweep_wall_over_plain_wall"], 1000 * thousand["seconds_a_trial"]
    return f"{ratio:.2f} times a plain loop's time; {each:.0f} ms a trial in {count(thousand['trials'])}"


def _exported(found: Any) -> str:
    return f"{exported.whole(found)} of {len(found['networks'])}"
