import numpy as np

from dashboards.surface import figure, prepare


def weighted(kd, hakd, **row):
    return {"param.lambda_kd": kd, "param.lambda_hakd": hakd} | row


def grid(pair, level=0.4):
    return [(pair, kd, hakd, level + kd, 0.01 * hakd) for kd in (0.01, 0.1) for hakd in (1.0, 10.0, 100.0)]


def test_grid_has_lambda_1_across_and_lambda_2_up_in_percent(make):
    (panel,) = prepare(make([weighted(0.1, 1.0, miou=0.4)], surface=grid("r18:mit_b0")))
    assert panel.grid.shape == (3, 2)
    assert panel.grid.columns.tolist() == [0.01, 0.1]
    assert np.allclose(panel.grid.to_numpy(), [[41.0, 50.0]] * 3)
    assert np.allclose(panel.spread.to_numpy(), [[1.0] * 2, [10.0] * 2, [100.0] * 2])


def test_weights_of_zero_or_none_have_no_place(make):
    rows = [weighted(0.0, 1.0, miou=0.4), weighted(0.1, None, miou=0.4), weighted(0.1, 2.0, miou=0.4)]
    (panel,) = prepare(make(rows))
    assert panel.observed["number"].tolist() == [2]


def test_study_without_the_two_weights_says_so(make):
    drawing = figure(prepare(make([{"miou": 0.4}])))
    assert not drawing.data
    assert "weights" in drawing.layout.annotations[0].text


def test_pair_without_surface_shows_its_trials_with_a_scale(make):
    (trace,) = figure(prepare(make([weighted(0.1, 1.0, miou=0.4)]))).data
    assert trace.type == "scatter"
    assert trace.marker.showscale


def test_surface_without_trials_is_still_shown(make):
    assert [trace.type for trace in figure(prepare(make(surface=grid("a")))).data] == ["contour"]


def test_pair_with_the_best_complete_trial_comes_first_and_the_menu_shows_one_pair(make):
    rows = [
        weighted(0.1, 1.0, miou=0.4, pair="a"),
        weighted(0.2, 1.0, miou=0.5, pair="b"),
        weighted(0.2, 1.0, miou=0.9, pair="a", state="PRUNED"),
    ]
    data = prepare(make(rows, surface=grid("a") + grid("c")))
    assert [panel.pair for panel in data] == ["b", "a", "c"]
    drawing = figure(data)
    menu = drawing.layout.updatemenus[0]
    assert [button.label for button in menu.buttons] == ["b", "a", "c"]
    assert [trace.visible for trace in drawing.data] == [True, False, False, False, False]
    assert menu.buttons[1].args[0]["visible"] == [False, True, True, True, False]


def test_pruned_trials_are_hollow_and_complete_ones_filled_by_miou(make):
    rows = [weighted(0.1, 1.0, miou=0.4), weighted(0.2, 1.0, miou=0.3, state="PRUNED")]
    marks = {trace.name: trace.marker for trace in figure(prepare(make(rows))).data}
    assert list(marks["complete"].color) == [40.0]
    assert marks["complete"].symbol == "circle"
    assert marks["pruned"].color.startswith("rgba(255, 255, 255")
    assert marks["pruned"].symbol == "x"


def test_axes_are_logarithmic_with_real_numbers_and_hold_every_trial(make):
    rows = [weighted(0.01, 1.0, miou=0.4), weighted(10.0, 3.0, miou=0.3)]
    layout = figure(prepare(make(rows))).layout
    assert layout.xaxis.type == layout.yaxis.type == "log"
    assert list(layout.xaxis.ticktext) == ["0.01", "0.1", "1", "10"]
    assert layout.xaxis.range[0] < -2
    assert layout.xaxis.range[1] > 1


def test_what_is_worse_than_noise_is_veiled_unless_that_is_all_or_nothing(make):
    cells = [(*cell, cell[1] > 0.05) for cell in grid("a")]
    _, veil = figure(prepare(make(surface=cells))).data
    assert veil.contours.type == "constraint"
    assert np.array(veil.z).tolist() == [[0.0, 1.0]] * 3
    for everywhere in (True, False):
        assert len(figure(prepare(make(surface=[(*cell, everywhere) for cell in grid("a")]))).data) == 1


def test_buttons_swap_mean_and_uncertainty_of_every_pair(make):
    drawing = figure(prepare(make([weighted(0.1, 1.0, miou=0.4, pair="a")], surface=grid("a") + grid("b"))))
    means, spreads = (button.args for button in drawing.layout.updatemenus[1].buttons)
    assert (
        list(means[1])
        == list(spreads[1])
        == [index for index, trace in enumerate(drawing.data) if trace.type == "contour"]
    )
    assert np.allclose(means[0]["z"][1], [[41.0, 50.0]] * 3)
    assert np.allclose(spreads[0]["z"][1], [[1.0] * 2, [10.0] * 2, [100.0] * 2])


def test_a_cell_says_its_gain_over_the_students_alone_averaged_over_seeds(make):
    rows = [weighted(0.1, 1.0, miou=0.4, baseline=level, seed=seed, pair="a") for seed, level in enumerate((0.3, 0.34))]
    contour = figure(prepare(make(rows, surface=grid("a")))).data[0]
    assert "fitted mIoU 41.00 ± 1.00 %<br>+9.00 points" in contour.hovertext[0][0]


def test_colours_are_spread_over_the_surface_and_complete_trials_alone(make):
    rows = [weighted(0.1, 1.0, miou=0.45, pair="a"), weighted(0.1, 1.0, miou=0.1, pair="a", state="PRUNED")]
    (panel,) = prepare(make(rows, surface=grid("a")))
    assert np.allclose(panel.limits, (41.0, 50.0))
