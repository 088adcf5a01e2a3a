"""The front page's table: ten rows, each with its figure and where the whole measurement stands."""

from __future__ import annotations

from typing import Any

from writers.figures import camvid, exported, intervals, loop, paired, search, sensitivity
from writers.words import between, count, listed, percent, table

SOURCES: tuple[str, ...] = (
    "demo.json",
    "camvid.json",
    "search.json",
    "sensitivity.json",
    "intervals.json",
    "sharing.json",
    "loop.json",
)
SOURCES += ("overhead.json", "thousand.json", "exported.json")


def claims(*found: Any, folder: str) -> str:
    """Claim, figure, link; `folder` leads from the page to docs/."""
    of = dict(zip((name.removesuffix(".json") for name in SOURCES), found, strict=True))
    rows = [
        ("Confirmed gain of `make demo` over the tuned student alone", _demo(of["demo"]), "where-it-pays.md#the-demo"),
        ("Most gained on real street scenes, by direction", _camvid(of["camvid"]), "camvid.md"),
        ("Budgets to recommend a config as good as random search does after 40", search.front(of["search"]), "search"),
        ("Dimensions whose importance is in the wrong order", _order(of["sensitivity"]), "importances"),
        ("A 90 % interval of a gain holds the truth", _gains(of["intervals"]), "intervals-and-winners"),
        ("Equal finalists of which one is named the winner", intervals.equal(of["intervals"]), "intervals-and-winners"),
        ("Trials a second of students that share a teacher", _sharing(of["sharing"]), "sharing-a-teacher"),
        ("Images a second against a plain loop", _loop(of["loop"]), "training-loop"),
        ("What the engine adds to training", _engine(of["overhead"], of["thousand"]), "the-engine"),
        ("Networks that leave as ONNX and torch.export", _exported(of["exported"]), "exported-networks"),
    ]
    linked = ((claim, figure, f"[{_named(place)}]({folder}{_page(place)})") for claim, figure, place in rows)
    return table(("what is measured", "figure", "more"), linked)


def _page(place: str) -> str:
    """A page, or a section of docs/measured.md."""
    return place if ".md" in place else f"measured.md#{place}"


def _named(place: str) -> str:
    return place.removesuffix(".md").rpartition("#")[2].replace("-", " ")


def _demo(found: Any) -> str:
    gains, lows = ([one[name] for one in found["demos"]] for name in ("gain", "gain_low"))
    return f"{between(gains, '+.1f')} points, {len(gains)} seeds of the search; 90 % intervals from {min(lows):+.1f} on"


def _camvid(found: Any) -> str:
    best = (camvid.best(direction, found) for direction in camvid.directions(found))
    return "; ".join(f"{one['direction']} {paired.gain(one['over_alone'])} points, by {one['row']}" for one in best)


def _order(found: Any) -> str:
    ours, stock = (found["all"]["wrong_order"][one] for one in (sensitivity.OURS, sensitivity.PED))
    return f"{percent(ours, 1)} %; Optuna's default: {percent(stock, 1)} %"


def _gains(found: Any) -> str:
    shares = [100 * own[key] for own in found["gains"].values() for key in ("coverage_typical", "coverage_best")]
    return f"{between(shares, '.0f')} % of the time"


def _sharing(found: Any) -> str:
    most = max(own["students"] for own in found["sharing"])
    gained = [own["gain"] for own in found["sharing"] if own["students"] == most]
    return f"{between(gained, '.2f')} times, {most} students; whole sweep {found['sweeps'][-1]['gain']:.2f} times"


def _loop(found: Any) -> str:
    ratios = [loop.loop(case, "ours")["over_plain"]["median"] for case in found["cases"]]
    return f"{listed(f'{ratio:.2f}' for ratio in ratios)} times, on a CPU"


def _engine(overhead: Any, thousand: Any) -> str:
    ratio, each = overhead["sweep_wall_over_plain_wall"], 1000 * thousand["seconds_a_trial"]
    return f"{ratio:.2f} times a plain loop's time; {each:.0f} ms a trial in {count(thousand['trials'])}"


def _exported(found: Any) -> str:
    return f"{exported.whole(found)} of {len(found['networks'])}"
