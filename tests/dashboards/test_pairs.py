import numpy as np

from dashboards import theme
from dashboards.pairs import figure, prepare


def pair(teacher, student, **row):
    return {"pair": f"{teacher}:{student}", "teacher": teacher, "student": student} | row


def test_cell_is_the_gain_of_the_best_complete_trial_and_counts_complete_ones(make):
    rows = [
        pair("t", "s", miou=0.42, baseline=0.40),
        pair("t", "s", miou=0.43, baseline=0.418),
        pair("t", "s", miou=0.99, baseline=0.40, state="PRUNED"),
        pair("t", "s", miou=0.41, baseline=0.30),
    ]
    data = prepare(make(rows))
    assert np.isclose(data.gains.loc["t", "s"], 1.2)
    assert data.texts.loc["t", "s"] == "+1.2 (n=3)"


def test_loss_keeps_its_sign(make):
    assert prepare(make([pair("t", "s", miou=0.40, baseline=0.425)])).texts.loc["t", "s"] == "-2.5 (n=1)"


def test_cells_without_complete_trial_say_why(make):
    rows = [
        pair("t", "a", miou=0.4, baseline=0.3),
        pair("u", "b", miou=0.4, baseline=0.3, state="PRUNED"),
        pair("u", "c", state="FAIL"),
        pair("t", "b", miou=0.2, state="PRUNED"),
        pair("t", "b", state="FAIL"),
        pair("t", "d", miou=0.4),
    ]
    data = prepare(make(rows))
    assert data.texts.loc["u", "a"] == "not tried"
    assert data.texts.loc["u", "b"] == "all pruned"
    assert data.texts.loc["u", "c"] == "all failed"
    assert data.texts.loc["t", "b"] == "none complete"
    assert data.texts.loc["t", "d"] == "no baseline (n=1)"
    assert data.gains.notna().to_numpy().sum() == 1


def test_baselines_have_no_row(make, alone):
    data = prepare(make([pair("t", "s", miou=0.4, baseline=0.3), alone | {"student": "z", "miou": 0.3}]))
    assert data.gains.index.tolist() == ["t"]
    assert data.gains.columns.tolist() == ["s"]


def test_colours_diverge_around_zero(make):
    rows = [pair("t", "a", miou=0.5, baseline=0.4), pair("t", "b", miou=0.38, baseline=0.4)]
    heatmap, _ = figure(prepare(make(rows))).data
    assert heatmap.zmin == -heatmap.zmax
    assert np.isclose(heatmap.zmax, 10.0)


def test_names_that_look_like_numbers_stay_names_in_their_family_colour(make):
    drawing = figure(prepare(make([pair("1e3", "2020-01-01", miou=0.5, baseline=0.4)])))
    (teacher,), (student,) = drawing.layout.yaxis.ticktext, drawing.layout.xaxis.ticktext
    assert teacher == f'<span style="color:{theme.FAMILIES["CNN"]}">1e3</span>'
    assert student == f'<span style="color:{theme.FAMILIES["Transformer"]}">2020-01-01</span>'
