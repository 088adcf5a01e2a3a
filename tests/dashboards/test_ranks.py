import pytest

from dashboards.ranks import figure, prepare

ROWS = [(200, 16, 0.8, 0.6, 0.9), (100, 16, 0.5, -0.2, 0.7)]


def test_line_and_band_run_by_rising_step(make):
    drawing = figure(prepare(make([{"miou": 0.4}], ranks=ROWS)))
    band, line = drawing.data
    assert list(line.x) == [100, 200]
    assert list(line.y) == [0.5, 0.8]
    assert list(band.y) == [0.7, 0.9, 0.6, -0.2]
    assert "n=16" in line.hovertext[0]
    assert drawing.layout.yaxis.range[0] < -0.2


def test_bars_count_the_search_trials_pruned_at_each_step(make, alone):
    rows = [{"state": "PRUNED", "step": step} for step in (100, 100, 200)]
    rows += [alone | {"state": "PRUNED", "step": 100}, {"state": "COMPLETE"}]
    bars = figure(prepare(make(rows, ranks=ROWS))).data[0]
    assert dict(zip(bars.x, bars.y, strict=True)) == {100: 2, 200: 1}


def test_without_probes_the_figure_says_what_is_needed(make):
    assert "probes" in figure(prepare(make([{"miou": 0.4}]))).layout.annotations[0].text.replace("<br>", " ")


def test_a_band_holds_its_line(study):
    line = prepare(study).line
    assert (line["low"] <= line["rho"]).all()
    assert line["rho"].tolist() == pytest.approx(sorted(line["rho"]))
