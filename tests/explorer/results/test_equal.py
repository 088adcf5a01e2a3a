"""What frames, figures and the card say of the compute that a gain was bought with; numbers by hand."""

from __future__ import annotations

from types import SimpleNamespace

import optuna
import pytest

from dashboards import curves, gains, methods
from dashboards.frames import StudyFrames
from explorer.bundle import bought
from explorer.results import believed
from explorer.results.trials import curves as drawn
from explorer.results.trials import trials


def study(rows):
    made = optuna.create_study(direction="maximize")
    for row in rows:
        told = {"student": "s", "seed": 0, "budget": 60, "method": "task"} | row
        miou = told.pop("miou")
        seen = {step: share * miou for step, share in told.pop("early", {}).items()} | {60: miou}
        made.add_trial(optuna.trial.create_trial(value=miou, user_attrs=told, intermediate_values=seen, params={}))
    return made


def studies(**told):
    early = {20: 0.5, 40: 0.9}
    alone = study([{"miou": 0.4, "seconds": 6.0, "early": early}, {"miou": 0.3, "seconds": 12.0, "seed": 1}])
    row = {"miou": 0.5, "seconds": 18.0, "method": "kd", "early": early, "pair": "t:s", "teacher": "t"}
    return {"baseline": alone, "search": study([row | told])}


def table(**told):
    return trials(studies(**told))


def test_at_equal_steps_a_steps_cost_is_told_by_the_seconds_of_whole_trials():
    """18 s for 60 steps against the median of 6 and 12 s."""
    row = table().iloc[1 if table()["role"].iloc[0] == "search" else -1]
    assert row["role"] == "search"
    assert (row["steps"], row["budget"]) == (60, 60)
    assert row["relative_cost"] == pytest.approx(2.0)
    assert row["gain"] == row["gain_at_steps"] == pytest.approx(0.1)
    assert row["gain_at_compute"] == pytest.approx(0.5 * 0.7 - 0.4)  # at 30 of its 60 steps


def test_under_a_budget_the_measured_cost_stands_and_the_gain_is_matched_by_compute():
    row = table(steps=24, relative_cost=2.5).iloc[-1]
    assert (row["steps"], row["step"], row["budget"]) == (24, 60, 60)
    assert row["relative_cost"] == 2.5
    assert row["gain"] == row["gain_at_compute"] == pytest.approx(0.1)
    assert row["gain_at_steps"] == pytest.approx(0.5 - 0.4 * 0.58)  # the student alone at 24 of 60 steps


def test_where_no_curve_reaches_the_other_gain_is_unknown():
    assert table(early={}).iloc[-1][["gain", "gain_at_compute"]].isna().tolist() == [False, True]


@pytest.mark.parametrize(("equal", "words"), [("steps", "at equal steps"), ("gmac", "at equal compute, in gmac")])
def test_axes_say_at_what_gains_are_equal(equal, words):
    frames = StudyFrames(trials=table(), equal=equal)
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
    told["gains"] = {at: {"trial": None, "typical": None} for at in ("steps", "compute")}
    assert bought.lines(told, SimpleNamespace(method="kd"), trial=0) == [CASES[case]]
    assert bought.lines(told, SimpleNamespace(method="task"), trial=0) == []


def recorded(frames):
    told = SimpleNamespace(config=SimpleNamespace(steps=60, method="kd"), trial=SimpleNamespace(user_attrs={}))
    return bought.record(SimpleNamespace(trained=told, number=0, pair="t:s", relative_cost=2.0), frames)


def test_the_card_has_both_gains_side_by_side():
    """One trial of seed 0; the table's numbers are those above, in points."""
    both = studies()
    found = recorded(StudyFrames(trials=trials(both), curves=drawn(both)))
    assert found["gains"]["compute"]["trial"] == {"gain": pytest.approx(-0.05), "bound": "at least"}
    assert found["gains"]["steps"]["trial"] == {"gain": pytest.approx(0.1), "bound": ""}
    typical = found["gains"]["compute"]["typical"]
    assert (typical["num_trials"], typical["bound"]) == (1, "at least")
    words, rows = bought.lines(found, SimpleNamespace(method="kd"), trial=0)[1:]
    assert "before its schedule's end" in words
    head, _, one, mean = rows.splitlines()
    assert head == "| gain over the student alone | at equal steps | at equal compute (seconds of whole trials) |"
    assert one == "| trial 0 of the search, one run | +10.00 | at least -5.00 |"
    assert mean.startswith("| a typical config in the search | +10.00 (90 %: ")
    assert "at least -5.00 (90 %: " in mean


def test_the_card_says_unknown_where_no_curve_reaches():
    both = studies(early={})
    found = recorded(StudyFrames(trials=trials(both), curves=drawn(both)))
    assert found["gains"]["compute"] == {"trial": None, "typical": None}
    words, rows = bought.lines(found, SimpleNamespace(method="kd"), trial=0)[1:]
    assert "schedule" not in words
    assert [line.count("unknown") for line in rows.splitlines()] == [0, 0, 1, 1]


def test_what_configs_gain_is_believed_only_where_it_is_asked_for():
    search, table = studies()["search"], trials(studies())
    assert believed.frame(search, table)["believed_gain"].tolist() == pytest.approx([0.1])
    without = believed.frame(search, table, gains=False)
    assert without["believed_gain"].isna().all()
    assert without["believed"].tolist() == pytest.approx([0.5])
