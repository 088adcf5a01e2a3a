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
    _, heatmap, _ = figure(prepare(make(rows))).data
    assert heatmap.zmin == -heatmap.zmax
    assert np.isclose(heatmap.zmax, 10.0)


def test_names_that_look_like_numbers_stay_names_in_their_family_colour(make):
    drawing = figure(prepare(make([pair("1e3", "2020-01-01", miou=0.5, baseline=0.4)])))
    (teacher,), (student,) = drawing.layout.yaxis.ticktext, drawing.layout.xaxis.ticktext
    assert teacher == f'<span style="color:{theme.FAMILIES["CNN"]}">1e3</span>'
    assert student == f'<span style="color:{theme.FAMILIES["Transformer"]}">2020-01-01</span>'


def gained(pair, statistic, gain, low, high, sure, method=""):
    teacher, student = pair.split(":")
    return (pair, teacher, student, method, statistic, 7, 2, gain, low, high, sure, "<b>why</b>")


def test_gains_freed_of_luck_stand_with_their_interval_and_pale_where_they_may_be_none(make):
    rows = [pair("t", "a", miou=0.5, baseline=0.4), pair("t", "b", miou=0.5, baseline=0.4)]
    nothing = float("nan")
    gains = [
        gained("t:a", "best", 0.031, 0.012, 0.05, True),
        gained("t:a", "typical", 0.5, 0.4, 0.6, True),
        gained("t:a", "best", 0.5, 0.4, 0.6, True, method="kd"),
        gained("t:b", "best", 0.02, nothing, nothing, False),
    ]
    data = prepare(make(rows, gains=gains))
    assert data.texts.loc["t"].tolist() == ["<b>+3.1 (n=7)</b><br>+1.2 to +5.0", "+2.0 (n=7)<br>no interval"]
    assert "not distinguishable from 0" in data.hovers.loc["t", "b"]
    assert "&lt;b&gt;why" in data.hovers.loc["t", "b"]
    pale, full, _ = figure(data).data
    assert np.isnan(pale.z[0][0])
    assert np.isclose(full.z[0][0], 3.1)
    assert np.isclose(pale.z[0][1], 2.0)
    assert np.isnan(full.z[0][1])
    assert pale.opacity < 0.5


def test_a_pooled_gain_stands_beside_the_raw_one_with_its_own_interval(make):
    rows = [pair("t", "a", miou=0.5, baseline=0.4), pair("t", "b", miou=0.5, baseline=0.4)]
    gains = [gained("t:a", "best", 0.031, 0.012, 0.05, True), gained("t:b", "best", 0.03, 0.01, 0.05, True)]
    ends = (0.031, 0.012, 0.05, 0.024, 0.011, 0.037, 0.62, True)
    pooled = [("t:a", "t", "a", statistic, equal, *ends) for statistic, equal in _OTHERS]
    pooled[1] = ("t:a", "t", "a", "best", "steps", 0.031, 0.012, 0.05, 0.019, 0.008, 0.030, 0.4, True)
    data = prepare(make(rows, gains=gains, pooled=pooled))
    assert data.texts.loc["t", "a"] == "<b>+3.1 (n=7)</b><br>+1.2 to +5.0<br>pooled +1.9, +0.8 to +3.0"
    assert "pooled: 40 % its own gain" in data.hovers.loc["t", "a"]
    assert "pooled" not in data.texts.loc["t", "b"]


_OTHERS = (("typical", "steps"), ("best", "steps"), ("best", "compute"))
