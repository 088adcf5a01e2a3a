import dataclasses

import numpy as np
import pandas as pd

from dashboards import theme
from dashboards.tradeoff import figure, pareto, prepare


def test_front_holds_what_no_smaller_or_equal_student_matches(make, alone):
    rows = [
        {"parameters_millions": 1.0, "miou": 0.30},
        {"parameters_millions": 1.0, "miou": 0.35},
        {"parameters_millions": 2.0, "miou": 0.34},
        {"parameters_millions": 3.0, "miou": 0.50},
        {"parameters_millions": 2.5, "miou": 0.90, "state": "PRUNED"},
        {"parameters_millions": 4.0, "miou": 0.50},
        alone | {"parameters_millions": 2.2, "miou": 0.40},
    ]
    front = prepare(make(rows)).fronts["parameters_millions"]
    assert front["size"].tolist() == [1.0, 2.2, 3.0]
    assert np.allclose(front["miou"], [35, 40, 50])


def test_the_cost_is_the_second_objective(make):
    frames = dataclasses.replace(make([{"miou": 0.5, "gmac": 2.0}, {"miou": 0.4, "gmac": 1.0}]), cost="gmac")
    data = prepare(frames)
    assert list(data.fronts) == ["gmac", "parameters_millions"]
    assert data.fronts["gmac"]["size"].tolist() == [1.0, 2.0]
    assert "multiply-accumulates" in figure(data).layout.xaxis.title.text


def test_front_agrees_with_the_definition_on_random_points():
    rng = np.random.default_rng(0)
    points = pd.DataFrame({"size": rng.integers(1, 9, 60).astype(float), "miou": rng.uniform(0, 1, 60)})
    kept = [
        (size, miou)
        for size, miou in points.itertuples(index=False)
        if not ((points["size"] <= size) & (points["miou"] >= miou)).sum() > 1
    ]
    assert sorted(kept) == list(pareto(points).itertuples(index=False, name=None))


def test_baselines_are_grey_diamonds_apart_from_search_trials(make, alone):
    data = prepare(make([{"miou": 0.5}, alone | {"miou": 0.4}, alone | {"miou": 0.2, "state": "PRUNED"}]))
    assert data.search["miou"].tolist() == [50.0]
    (trace,) = [trace for trace in figure(data).data if trace.name == "student alone"]
    assert list(trace.y) == [40.0]
    assert trace.marker.symbol == "diamond"
    assert trace.marker.color == theme.BASELINE


def test_pruned_trials_are_drawn_hollow(make):
    drawing = figure(prepare(make([{"miou": 0.3, "state": "PRUNED"}])))
    (trace,) = [trace for trace in drawing.data if trace.name == "Transformer pruned"]
    assert trace.marker.symbol.endswith("-open")


def test_trials_without_size_are_left_out(make):
    data = prepare(make([{"miou": 0.3, "parameters_millions": float("nan"), "gmac": float("nan")}]))
    assert data.search.empty
    assert not figure(data).data


def test_the_menu_moves_every_trial_to_the_chosen_cost_and_shows_its_front(make, alone):
    rows = [
        {"miou": 0.5, "parameters_millions": 3.0, "gmac": 1.0, "latency_ms": 7.0},
        {"miou": 0.4, "parameters_millions": 1.0, "gmac": 2.0, "latency_ms": 8.0, "state": "PRUNED"},
        alone | {"miou": 0.3, "parameters_millions": 2.0, "gmac": 0.5},
    ]
    drawing = figure(prepare(make(rows)))
    buttons = {button.label.split()[1]: button.args for button in drawing.layout.updatemenus[0].buttons}
    assert list(buttons) == ["parameters", "multiply-accumulates", "latency"]
    shown, axis = buttons["latency"]
    assert "latency" in axis["xaxis.title.text"]
    moved = dict(zip([trace.name for trace in drawing.data], shown["x"], strict=True))
    assert moved["Transformer complete"] == [7.0]
    assert moved["Transformer pruned"] == [8.0]
    fronts = [index for index, trace in enumerate(drawing.data) if trace.name == "Pareto front"]
    assert [shown["visible"][index] for index in fronts] == [False, False, True]
    assert [drawing.data[index].visible for index in fronts] == [True, False, False]
    assert all(visible for index, visible in enumerate(shown["visible"]) if index not in fronts)


def test_a_cost_that_nobody_measured_is_no_choice(make):
    assert list(prepare(make([{"miou": 0.5}])).fronts) == ["parameters_millions", "gmac"]
