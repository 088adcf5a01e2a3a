import pytest

from dashboards.gains import figure, prepare


def gained(pair, statistic, gain, low, high, sure, method=""):
    return (pair, "t", "s", method, statistic, 7, 2, gain, low, high, sure, "<i>why</i>")


NOTHING = float("nan")
ROWS = [
    gained("a", "typical", 0.03, 0.01, 0.05, True),
    gained("a", "best", 0.04, -0.01, 0.06, False),
    gained("b", "typical", 0.01, NOTHING, NOTHING, False),
    gained("b", "best", 0.06, NOTHING, NOTHING, False),
    gained("b", "best", 0.9, 0.8, 1.0, True, method="kd"),
]


def marks(drawing):
    return {trace.name: trace for trace in drawing.data if trace.hovertext is not None}


def test_the_pair_whose_best_config_gains_most_comes_first_and_methods_are_left_to_their_figure(make):
    drawing = figure(prepare(make(gains=ROWS)))
    assert list(drawing.layout.yaxis.ticktext) == ["b", "a"]
    assert set(marks(drawing)) == {"a, typical", "a, best", "b, typical", "b, best"}


def test_marks_are_in_points_with_their_interval_and_hollow_where_they_may_be_none(make):
    found = marks(figure(prepare(make(gains=ROWS))))
    usual, best, alone = found["a, typical"], found["a, best"], found["b, best"]
    assert usual.x == pytest.approx((3.0,))
    assert (usual.error_x.arrayminus[0], usual.error_x.array[0]) == pytest.approx((2.0, 2.0))
    assert usual.marker.symbol == "circle"
    assert best.marker.symbol == "diamond-open"
    assert alone.error_x.array[0] == 0
    assert "no interval" in alone.hovertext[0]
    assert "n=7, 2 seeds" in best.hovertext[0]
    assert "&lt;i&gt;why" in best.hovertext[0]


def test_the_axis_holds_zero_and_every_end(make):
    low, high = figure(prepare(make(gains=ROWS[:1]))).layout.xaxis.range
    assert low < 0
    assert high > 5
