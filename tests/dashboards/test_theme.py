import math

import pandas as pd
import pytest

from dashboards import theme
from dashboards.frames import COLUMNS, StudyFrames, blank
from dashboards.marks import brief, points


def test_each_family_has_its_own_colour_and_none_is_the_baselines_grey():
    assert len({*theme.FAMILIES.values(), theme.BASELINE}) == 5


def test_unknown_family_counts_as_other(make):
    drawn = points(make([{"student_family": "state space", "miou": 0.3}]).trials)
    assert drawn["family"].tolist() == ["other"]
    assert theme.colour("state space") == theme.FAMILIES["other"]


def test_unfinished_states_are_open_and_failures_red():
    assert {state for state, look in theme.STATES.items() if str(look["symbol"]).endswith("-open")} == {
        "RUNNING",
        "PAUSED",
        "WAITING",
        "PRUNED",
    }
    assert theme.marker("FAIL", "blue")["color"] == theme.FAILED
    assert theme.marker("PRUNED", "blue")["color"] == "blue"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 10, [0.001, 0.01, 0.1, 1, 10]),
        (0.02, 1, [0.02, 0.05, 0.1, 0.2, 0.5, 1]),
        (0.3, 0.4, [0.3, 0.4]),
        (0.3, 0.3, [0.3]),
    ],
)
def test_log_ticks_are_round_numbers_within_the_limits(low, high, expected):
    ticks = [10**tick for tick in theme.log_ticks(math.log10(low), math.log10(high))]
    assert ticks == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "text"), [(0.123456, "0.1235"), (2048.0, "2048"), (3, "3"), (1e-5, "1e-05"), ("class", "class")]
)
def test_values_are_written_briefly(value, text):
    assert brief(value) == text


@pytest.mark.parametrize("name", COLUMNS)
def test_frame_that_lacks_a_column_is_refused(name):
    lacking = blank(name).drop(columns=next(iter(COLUMNS[name])))
    with pytest.raises(AssertionError, match=name):
        StudyFrames(**{name: lacking})


def test_hover_text_of_a_trial_names_what_happened(make):
    row = {"miou": 0.4321, "baseline": 0.4, "state": "PRUNED", "step": 200, "param.lambda_kd": 0.1, "param.axis": None}
    (text,) = points(make([row]).trials)["text"]
    assert text.split("<br>") == [
        "<b>search trial 0</b> r18:mit_b0",
        "pruned at step 200",
        "heteroakd, seed 0",
        "mIoU 43.21 % (+3.2 points)",
        "lambda_kd: 0.1",
    ]
    (text,) = points(make([row | {"miou_low": 0.4012, "miou_high": 0.47}]).trials)["text"]
    assert "<br>mIoU 43.21 % (+3.2 points), over images 40.12 to 47.00 %<br>" in text


def test_points_of_no_trials_keep_their_columns():
    assert points(blank("trials")).columns.tolist() == ["role", "number", "state", "family", "miou", "name", "text"]
    assert isinstance(points(blank("trials")), pd.DataFrame)
