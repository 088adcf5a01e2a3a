import pytest

from dashboards import theme
from dashboards.confirmed import figure, prepare

NOTHING = float("nan")


def finalist(rank, number, *, winner=False, gain=(0.02, 0.01, 0.03), reason=""):
    scores = (0.48, 0.45, 0.03, 0.44, 0.43, 0.46, 0.41, 0.48)
    return (rank, number, "r18:mit_b0", "heteroakd", "test", 5, *scores, *gain, winner, reason)


@pytest.fixture
def drawing(make):
    return figure(prepare(make(confirmed=[finalist(2, 7, reason="<b>within noise</b>"), finalist(1, 4, winner=True)])))


def test_finalists_stand_by_rank_and_the_winner_is_starred(drawing):
    first, second = drawing.layout.yaxis.ticktext
    assert "★ trial 4" in first
    assert "★" not in second
    scores = next(trace for trace in drawing.data if trace.name == "mean on test, 90 % interval over seeds")
    assert list(scores.marker.color) == [theme.FAMILIES["hybrid"], theme.INK]
    assert "&lt;b&gt;within noise" in scores.hovertext[1]


def test_the_interval_over_images_is_a_line_of_its_own_below_that_over_seeds(drawing, make):
    first, second = (trace for trace in drawing.data if trace.name == "90 % interval over images")
    assert list(first.x) == list(second.x) == pytest.approx([41.0, 48.0])
    assert (first.y[0], second.y[0]) == pytest.approx((0.2, 1.2))
    assert (first.showlegend, second.showlegend) == (True, False)
    scores = next(trace for trace in drawing.data if "over seeds" in trace.name)
    assert "44.00 (90 % interval 43.00 to 46.00) %, n=5 seeds" in scores.hovertext[0]
    assert "on other images of the same source 41.00 to 48.00 %" in scores.hovertext[0]
    old = figure(prepare(make(confirmed=[(*finalist(1, 4)[:12], NOTHING, NOTHING, *finalist(1, 4)[14:])])))
    texts = [text for trace in old.data for text in trace.hovertext]
    assert not any("nan" in text for text in texts)


def test_an_arrow_leads_from_the_search_to_fresh_seeds(drawing):
    arrow = drawing.data[0]
    assert list(arrow.x) == pytest.approx([48.0, 45.0])
    assert list(arrow.marker.symbol) == ["circle-open", "arrow"]
    assert "winner's curse +3.00 points" in arrow.hovertext[1]


def test_a_search_over_folds_was_scored_on_other_images_so_no_arrow_leads_from_it(make):
    row = finalist(1, 4)
    drawing = figure(prepare(make(confirmed=[(*row[:8], NOTHING, *row[9:])])))
    arrow = drawing.data[0]
    assert arrow.x[0] == pytest.approx(48.0)
    assert arrow.x[1] is None
    assert arrow.hovertext == ("in the search: 48.00 %", "on fresh seeds: 45.00 %")


def test_scores_and_gains_have_their_intervals_on_axes_of_their_own(drawing):
    scores, gains = (trace for trace in drawing.data if trace.error_x.array is not None)
    assert list(scores.x) == pytest.approx([44.0, 44.0])
    assert (scores.error_x.arrayminus[0], scores.error_x.array[0]) == pytest.approx((1.0, 2.0))
    assert gains.xaxis == "x2"
    assert list(gains.x) == pytest.approx([2.0, 2.0])


def test_a_finalist_without_a_matched_student_has_no_gain(make):
    drawing = figure(prepare(make(confirmed=[finalist(1, 4, gain=(NOTHING,) * 3)])))
    texts = [text for trace in drawing.data for text in trace.hovertext]
    assert not any("nan" in text for text in texts)
