from dashboards import theme
from dashboards.curves import figure, prepare


def study(make, alone):
    rows = [
        {"miou": 0.4, "number": 0},
        {"miou": 0.2, "number": 1, "state": "PRUNED"},
        alone | {"miou": 0.35, "number": 0},
    ]
    curves = [
        ("search", 0, 200, 0.4),
        ("search", 0, 100, 0.3),
        ("search", 1, 100, 0.2),
        ("baseline", 0, 100, 0.25),
        ("baseline", 0, 200, 0.35),
    ]
    return make(rows, curves=curves)


def test_each_reported_value_is_drawn_once_in_percent_by_step(make, alone):
    lines = prepare(study(make, alone)).lines
    got = [(row.role, row.number, row.step, round(row.miou, 9)) for row in lines.itertuples()]
    assert got == [
        ("baseline", 0, 100, 25.0),
        ("baseline", 0, 200, 35.0),
        ("search", 0, 100, 30.0),
        ("search", 0, 200, 40.0),
        ("search", 1, 100, 20.0),
    ]


def test_search_and_baseline_trials_of_one_number_are_two_trials(make, alone):
    ends = prepare(study(make, alone)).ends
    assert {(row.role, row.number): row.step for row in ends.itertuples()} == {
        ("baseline", 0): 200,
        ("search", 0): 200,
        ("search", 1): 100,
    }


def test_lines_of_two_trials_are_parted_by_a_gap(make):
    curves = [("search", 0, 100, 0.1), ("search", 0, 200, 0.2), ("search", 1, 100, 0.3), ("search", 1, 200, 0.4)]
    drawing = figure(prepare(make([{"miou": 0.2}, {"miou": 0.4}], curves=curves)))
    (line,) = [trace for trace in drawing.data if trace.mode == "lines"]
    assert list(line.x) == [100, 200, None, 100, 200, None]
    assert not line.connectgaps


def test_pruned_trials_are_faint_and_end_in_a_hollow_mark(make, alone):
    drawing = figure(prepare(study(make, alone)))
    lines = {tuple(trace.x): trace for trace in drawing.data if trace.mode == "lines"}
    assert lines[(100, None)].opacity < lines[(100, 200, None)].opacity
    (end,) = [trace for trace in drawing.data if trace.name == "Transformer pruned"]
    assert (list(end.x), list(end.y)) == ([100], [20.0])
    assert end.marker.symbol.endswith("-open")


def test_baselines_are_grey(make, alone):
    (line,) = [trace for trace in figure(prepare(study(make, alone))).data if trace.name == "student alone"]
    assert line.line.color == theme.BASELINE
    assert line.line.dash == "dash"


def test_values_of_unknown_trials_and_missing_values_are_left_out(make):
    frames = make([{"miou": 0.2}], curves=[("search", 0, 100, float("nan")), ("search", 9, 100, 0.2)])
    assert prepare(frames).lines.empty
