import numpy as np
import pytest

from dashboards import theme
from dashboards.frames import NOISE
from dashboards.importance import figure, prepare

ROWS = [
    ("noise", 0.9, 0.1, 1.0, False, "only 3 complete trials have it."),
    ("small", 0.1, 0.05, 0.2, True, ""),
    ("large", 0.4, 0.3, 0.45, True, ""),
]
BOTH = [
    ("variance", "", "lr", 0.7, 0.6, 0.8, True, ""),
    ("variance", "projector_depth = 2 or 3", "width", 0.1, 0.0, 0.3, False, "Its interval starts at 0.00."),
    ("variance", "", NOISE, 0.01, 0.0, 0.05, False, "A shuffled copy."),
    ("top", "", "lr", 0.2, 0.1, 0.3, True, ""),
    ("top", "projector_depth = 2 or 3", "width", 0.6, 0.4, 0.7, True, ""),
    ("top", "", NOISE, 0.02, 0.0, 0.08, False, "A shuffled copy."),
]


@pytest.fixture
def bars(make):
    return prepare(make(importance=ROWS))


@pytest.fixture
def both(make):
    return prepare(make(importance=BOTH))


def test_identifiable_dimensions_come_first_by_falling_share(bars):
    assert bars.names == ["large", "small", "noise"]
    assert np.allclose(bars.bars["mean"], [40, 10, 90])


def test_whiskers_span_the_interval_in_percent(bars):
    (trace,) = figure(bars).data
    assert np.allclose(np.add(trace.x, trace.error_x.array), [45, 20, 100])
    assert np.allclose(np.subtract(trace.x, trace.error_x.arrayminus), [30, 5, 10])


def test_interval_beside_the_mean_draws_no_negative_whisker(make):
    (trace,) = figure(prepare(make(importance=[("a", 0.5, 0.6, 0.7, True, "")]))).data
    assert list(trace.error_x.arrayminus) == [0.0]


def test_unidentifiable_dimensions_are_hatched_grey_and_say_so(bars):
    drawing = figure(bars)
    (trace,) = drawing.data
    assert list(trace.marker.pattern.shape) == ["", "", "/"]
    assert list(trace.marker.color) == [theme.BAR, theme.BAR, theme.MUTED]
    names = drawing.layout.yaxis.ticktext
    assert [("not identifiable" in name) for name in names] == [False, False, True]
    assert "only 3 complete trials have it." in trace.hovertext[2]


def test_dimension_without_any_estimate_is_listed(make):
    nothing = float("nan")
    drawing = figure(prepare(make(importance=[*ROWS, ("new", nothing, nothing, nothing, False, "no trial has it.")])))
    assert drawing.layout.yaxis.ticktext[-1].startswith("new")
    assert np.isfinite(drawing.layout.xaxis.range[1])
    assert "nan" not in drawing.data[0].hovertext[-1]


def test_both_questions_stand_side_by_side_over_the_same_rows(both):
    drawing = figure(both)
    variance, top = drawing.data
    assert list(variance.y) == list(top.y) == [0, 1, 2]
    assert (variance.xaxis, top.xaxis) == ("x", "x2")
    assert drawing.layout.xaxis.domain[1] < drawing.layout.xaxis2.domain[0]
    assert np.allclose(variance.x, [70, 10, 1])
    assert np.allclose(top.x, [20, 60, 2])


def test_a_dimension_is_hatched_only_for_the_question_that_cannot_tell(both):
    variance, top = figure(both).data
    assert list(variance.marker.pattern.shape) == ["", "/", "."]
    assert list(top.marker.pattern.shape) == ["", "", "."]
    assert "not identifiable" not in figure(both).layout.yaxis.ticktext[1]


def test_noise_is_the_last_row_and_a_line_at_what_it_reaches(both):
    drawing = figure(both)
    assert "does nothing" in drawing.layout.yaxis.ticktext[-1]
    assert NOISE not in "".join(drawing.layout.yaxis.ticktext)
    assert [(line.xref, line.x0, line.x1) for line in drawing.layout.shapes] == [("x", 5.0, 5.0), ("x2", 8.0, 8.0)]


def test_a_condition_is_named_and_hostile_text_stays_text(both, make):
    assert "among: projector_depth = 2 or 3" in figure(both).layout.yaxis.ticktext[1]
    bad = "<img src=x onerror=alert(1)>"
    row = ("variance", bad, bad, 0.5, 0.4, 0.6, False, bad)
    drawing = figure(prepare(make(importance=[row])))
    assert "<img" not in drawing.layout.yaxis.ticktext[0] + drawing.data[0].hovertext[0]
