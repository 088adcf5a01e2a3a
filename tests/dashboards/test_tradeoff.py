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
    front = prepare(make(rows)).front
    assert front["size"].tolist() == [1.0, 2.2, 3.0]
    assert np.allclose(front["miou"], [35, 40, 50])


def test_the_cost_is_the_second_objective(make):
    frames = dataclasses.replace(make([{"miou": 0.5, "gmac": 2.0}, {"miou": 0.4, "gmac": 1.0}]), cost="gmac")
    data = prepare(frames)
    assert data.front["size"].tolist() == [1.0, 2.0]
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
    assert prepare(make([{"miou": 0.3, "parameters_millions": float("nan")}])).search.empty
