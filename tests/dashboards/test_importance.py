import numpy as np
import pytest

from dashboards import theme
from dashboards.importance import figure, prepare

ROWS = [
    ("noise", 0.9, 0.1, 1.0, False, "only 3 complete trials have it."),
    ("small", 0.1, 0.05, 0.2, True, ""),
    ("large", 0.4, 0.3, 0.45, True, ""),
]


@pytest.fixture
def bars(make):
    return prepare(make(importance=ROWS))


def test_identifiable_dimensions_come_first_by_falling_share(bars):
    assert bars.bars["dimension"].tolist() == ["large", "small", "noise"]
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
