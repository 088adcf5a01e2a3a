from dashboards import theme
from dashboards.history import figure, prepare


def test_best_so_far_is_the_running_maximum_over_complete_search_trials(make, alone):
    rows = [
        {"miou": 0.30},
        {"miou": 0.90, "state": "PRUNED"},
        {"miou": 0.25},
        {"miou": 0.95, "state": "RUNNING"},
        {"miou": 0.40},
        alone | {"miou": 0.99, "number": 0},
    ]
    best = prepare(make(rows)).best
    assert best["number"].tolist() == [0, 2, 4]
    assert best["miou"].round(9).tolist() == [30.0, 30.0, 40.0]


def test_best_so_far_follows_the_number_not_the_order_of_rows(make):
    best = prepare(make([{"miou": 0.5, "number": 7}, {"miou": 0.2, "number": 1}])).best
    assert best["number"].tolist() == [1, 7]
    assert best["miou"].tolist() == [20.0, 50.0]


def test_baseline_level_is_the_mean_over_complete_seeds_of_a_student(make, alone):
    rows = [
        {"miou": 0.5},
        alone | {"student": "a", "miou": 0.30, "seed": 0},
        alone | {"student": "a", "miou": 0.34, "seed": 1},
        alone | {"student": "a", "miou": 0.90, "seed": 2, "state": "PRUNED"},
        alone | {"student": "b", "miou": 0.40},
    ]
    levels = prepare(make(rows)).baselines
    assert {name: round(level, 9) for name, level in levels.items()} == {"a": 32.0, "b": 40.0}


def test_baselines_are_grey_dashed_lines_named_by_student_and_level(make, alone):
    drawing = figure(prepare(make([{"miou": 0.5}, alone | {"student": "a", "miou": 0.3}])))
    (line,) = [trace for trace in drawing.data if (trace.name or "").startswith("a<br>")]
    assert line.name == "a<br>alone: 30.0 %"
    assert line.line.dash == "dash"
    assert line.line.color == theme.BASELINE
    assert list(line.y) == [30.0, 30.0]


def test_pruned_trials_are_drawn_hollow_and_muted_in_their_family_colour(make):
    drawing = figure(prepare(make([{"miou": 0.5}, {"miou": 0.3, "state": "PRUNED"}])))
    marks = {trace.name: trace.marker for trace in drawing.data if trace.x != (None,)}
    pruned, complete = marks["Transformer pruned"], marks["Transformer complete"]
    assert pruned.symbol.endswith("-open")
    assert not complete.symbol.endswith("-open")
    assert pruned.opacity < complete.opacity
    assert pruned.color == complete.color == theme.FAMILIES["Transformer"]


def test_failed_trials_without_value_stand_on_an_axis_without_miou(make):
    data = prepare(make([{"miou": 0.5}, {"state": "FAIL", "reason": "out of memory"}]))
    assert data.valued["number"].tolist() == [0]
    (failed,) = [trace for trace in figure(data).data if trace.name == "Transformer failed"]
    assert failed.yaxis == "y2"
    assert list(failed.x) == [1]
    assert failed.marker.color == theme.FAILED
    assert "out of memory" in failed.hovertext[0]


def test_legend_names_each_family_and_state_once(make):
    states = ("COMPLETE", "PRUNED", "PRUNED", "FAIL")
    rows = [{"state": state, "miou": 0.3} for state in states] + [{"miou": 0.2, "student_family": "CNN"}]
    names = [trace.name for trace in figure(prepare(make(rows))).data if trace.showlegend is not False]
    assert names == ["CNN student", "Transformer student", "pruned", "failed", "best so far"]
