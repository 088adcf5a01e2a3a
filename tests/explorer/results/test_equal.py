"""What frames, figures and the card say of the compute that a gain was bought with; numbers by hand."""

from __future__ import annotations

from types import SimpleNamespace

import optuna
import pytest

from dashboards import curves, gains, methods
from dashboards.frames import StudyFrames
from explorer.bundle import card
from explorer.results.trials import trials


def study(rows):
    made = optuna.create_study(direction="maximize")
    for row in rows:
        told = {"student": "s", "seed": 0, "budget": 60, "method": "task"} | row
        miou = told.pop("miou")
        made.add_trial(
            optuna.trial.create_trial(value=miou, user_attrs=told, intermediate_values={60: miou}, params={})
        )
    return made


def table(**told):
    alone = study([{"miou": 0.4, "seconds": 6.0}, {"miou": 0.3, "seconds": 12.0, "seed": 1}])
    return trials({"baseline": alone, "search": study([{"miou": 0.5, "seconds": 18.0, "method": "kd"} | told])})


def test_at_equal_steps_a_steps_cost_is_told_by_the_seconds_of_whole_trials():
    """18 s for 60 steps against the median of 6 and 12 s."""
    row = table().iloc[1 if table()["role"].iloc[0] == "search" else -1]
    assert row["role"] == "search"
    assert (row["steps"], row["budget"]) == (60, 60)
    assert row["relative_cost"] == pytest.approx(2.0)
    assert row["gain"] == pytest.approx(0.1)


def test_under_a_budget_the_measured_cost_stands_and_the_gain_is_matched_by_compute():
    row = table(steps=24, relative_cost=2.5).iloc[-1]
    assert (row["steps"], row["step"], row["budget"]) == (24, 60, 60)
    assert row["relative_cost"] == 2.5
    assert row["gain"] == pytest.approx(0.1)


@pytest.mark.parametrize(("equal", "words"), [("steps", "at equal steps"), ("gmac", "at equal compute, in gmac")])
def test_axes_say_at_what_gains_are_equal(equal, words):
    frame = table().assign(pair="t:s", teacher="t")
    frames = StudyFrames(trials=frame, equal=equal)
    assert words in methods.figure(methods.prepare(frames)).layout.xaxis.title.text
    assert gains.prepare(frames).at_equal == words
    assert (equal in curves.prepare(frames).step) == (equal == "gmac")


CASES = {
    (
        "steps",
        60,
        60,
        2.0,
    ): "The gain is at equal steps: both were trained for 60. A step cost 2.00 times a step of the "
    "student alone. A student alone trained as long may gain too.",
    ("steps", 60, 60, None): "The gain is at equal steps: both were trained for 60.",
    (
        "seconds",
        24,
        60,
        2.5,
    ): "The gain is at equal compute, in seconds measured at launch: 24 steps, against 60 of "
    "the student alone. A step cost 2.50 times a step of the student alone.",
}


@pytest.mark.parametrize("case", CASES)
def test_the_card_says_what_the_gain_was_bought_with(case):
    told = dict(zip(("equal", "steps", "alone_steps", "relative_cost"), case, strict=True))
    assert card._compute({"compute": told}, SimpleNamespace(method="kd")) == [CASES[case]]
    assert card._compute({"compute": told}, SimpleNamespace(method="task")) == []
