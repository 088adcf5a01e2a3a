import pytest

from dashboards import theme
from dashboards.interactions import MOST, figure, prepare

NOTHING = float("nan")
ROWS = [
    ("a", "b", 0.05, 0.0, 0.2, False, "It may be nothing."),
    ("pair", "lambda_kd", 0.3, 0.2, 0.4, True, ""),
    ("a", "c", NOTHING, NOTHING, NOTHING, False, "5 complete trials have both; 12 are needed."),
]


def test_identifiable_ones_come_first_and_the_others_are_hatched_and_say_so(make):
    (bars,) = figure(prepare(make(interactions=ROWS))).data
    assert list(bars.x) == pytest.approx([30.0, 5.0])
    assert list(bars.marker.color) == [theme.BAR, theme.MUTED]
    assert list(bars.marker.pattern.shape) == ["", "/"]
    assert list(bars.error_x.arrayminus) == pytest.approx([10.0, 5.0])
    assert "It may be nothing." in bars.hovertext[1]
    names = figure(prepare(make(interactions=ROWS))).layout.yaxis.ticktext
    assert names[0] == "pair × lambda_kd"
    assert "may be nothing" in names[1]


def test_more_than_fit_are_counted_on_the_axis(make):
    rows = [("a", str(number), 0.01 * number, 0.0, 0.5, False, "") for number in range(MOST + 5)]
    drawing = figure(prepare(make(interactions=rows)))
    assert len(drawing.data[0].x) == MOST
    assert drawing.data[0].x[0] == pytest.approx(MOST + 4)
    assert f"{MOST} of {MOST + 5} shown" in drawing.layout.xaxis.title.text


def test_where_nothing_could_be_told_the_reason_is_shown(make):
    drawing = figure(prepare(make(interactions=ROWS[2:])))
    assert not drawing.data
    assert "12 are needed" in drawing.layout.annotations[0].text.replace("<br>", " ")
