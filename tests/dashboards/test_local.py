import numpy as np
import pytest

from dashboards.local import figure, prepare

DIMENSIONS = [("lr", "float", True), ("depth", "int", False), ("axis", "categorical", False)]


def sliced(pair, level):
    rows = [(pair, "lr", 10.0**-k, f"1e-{k}", level, level - 0.02, level + 0.01, k == 3) for k in (4, 3, 2)]
    rows += [(pair, "depth", float(k), str(k), level, level - 0.01, level + 0.01, k == 1) for k in (1, 2)]
    return rows + [(pair, "axis", float(n), name, level, 0.3, 0.6, n == 1) for n, name in enumerate(("x", "y"))]


@pytest.fixture
def frames(make):
    return make(dimensions=DIMENSIONS, local=sliced("a", 0.4) + sliced("b", 0.5))


def test_the_pair_with_the_best_trial_comes_first_and_the_menu_shows_one_with_its_range(frames):
    drawing = figure(prepare(frames))
    (menu,) = drawing.layout.updatemenus
    assert [button.label for button in menu.buttons] == ["b", "a"]
    shown, ranges = menu.buttons[1].args
    assert [trace.visible for trace in drawing.data] == [not visible for visible in shown["visible"]]
    assert set(ranges) == {"yaxis.range", "yaxis2.range", "yaxis3.range"}
    assert ranges["yaxis.range"][0] < 30 < 60 < ranges["yaxis.range"][1]


def test_each_dimension_has_a_panel_with_band_line_and_the_best_trials_own_value(frames):
    drawing = figure(prepare(frames))
    assert [drawing.layout[f"xaxis{n}"].title.text for n in ("", 2, 3)] == ["lr", "depth", "axis"]
    assert drawing.layout.xaxis.type == "log"
    assert list(drawing.layout.xaxis2.tickvals) == [1, 2]
    assert list(drawing.layout.xaxis3.ticktext) == ["x", "y"]
    band, line, best = [trace for trace in drawing.data if trace.visible and trace.xaxis == "x"]
    assert band.fill == "toself"
    assert list(band.y) == pytest.approx([51, 51, 51, 48, 48, 48])
    assert list(line.x) == pytest.approx([1e-4, 1e-3, 1e-2])
    assert list(best.x) == pytest.approx([1e-3])
    assert "(the best trial)" in line.hovertext[1]


def test_choices_have_whiskers_instead_of_a_band(frames):
    dots, best = [trace for trace in figure(prepare(frames)).data if trace.visible and trace.xaxis == "x3"]
    assert dots.mode == "markers"
    assert np.allclose(dots.error_y.arrayminus, 20)
    assert list(best.x) == [1.0]


def test_one_pair_needs_no_menu(make):
    drawing = figure(prepare(make(dimensions=DIMENSIONS, local=sliced("a", 0.4))))
    assert not drawing.layout.updatemenus
    assert drawing.layout.title.text.endswith(": a")
