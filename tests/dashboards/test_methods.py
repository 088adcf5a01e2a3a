import dataclasses

import pytest

from dashboards.methods import ALONE, figure, prepare


def by(method, miou, baseline=0.40, **row):
    return {"method": method, "miou": miou, "baseline": baseline} | row


def test_rows_hold_median_best_and_count_of_complete_trials_and_the_best_median_comes_first(make, alone):
    rows = [
        by("cwd", 0.41),
        by("cwd", 0.43),
        by("cwd", 0.48),
        by("kd", 0.44),
        by("kd", 0.99, state="PRUNED"),
        by("dist", float("nan"), state="FAIL"),
        alone | {"miou": 0.40},
        alone | {"miou": 0.37},
        alone | {"miou": 0.30, "seed": 1},
    ]
    data = prepare(make(rows))
    assert data.rows["label"].tolist() == [ALONE, "kd", "cwd"]
    assert data.rows["n"].tolist() == [3, 1, 3]
    assert data.rows["median"].tolist() == pytest.approx([0.0, 4.0, 3.0])
    assert data.rows["most"].tolist() == pytest.approx([0.0, 4.0, 8.0])
    of_alone = data.points[data.points["row"] == 0]["gain"].tolist()
    assert sorted(of_alone) == pytest.approx([-3.0, 0.0, 0.0])


def test_pairs_have_rows_of_their_own(make):
    rows = [by("cwd", 0.41), by("cwd", 0.45, pair="a:b")]
    assert prepare(make(rows)).rows["label"].tolist() == ["a:b  cwd", "r18:mit_b0  cwd"]


def test_a_trial_without_a_matched_student_is_left_out(make):
    data = prepare(make([by("cwd", 0.41, baseline=float("nan")), by("kd", 0.42)]))
    assert data.rows["label"].tolist() == ["kd"]


def test_each_row_names_its_numbers_and_draws_its_median(make):
    drawing = figure(prepare(make([by("kd", 0.42), by("cwd", 0.39), by("<b>x", 0.35)])))
    assert list(drawing.layout.yaxis.ticktext) == [
        "kd<br>+2.0, best +2.0 (n=1)",
        "cwd<br>-1.0, best -1.0 (n=1)",
        "&lt;b&gt;x<br>-5.0, best -5.0 (n=1)",
    ]
    medians = [(shape.x0, (shape.y0 + shape.y1) / 2) for shape in drawing.layout.shapes if shape.x0 != 0]
    assert medians == [(pytest.approx(2.0), 0), (pytest.approx(-1.0), 1), (pytest.approx(-5.0), 2)]
    xs = [value for trace in drawing.data for value in trace.x if value is not None]
    assert sorted(xs) == pytest.approx([-5.0, -1.0, 2.0])


def test_the_mean_of_a_row_has_its_interval_and_is_hollow_where_it_may_be_none(make):
    rows = [by("kd", 0.42), by("cwd", 0.39), by("dist", 0.39, pair="a:b")]
    nothing = float("nan")
    one, other = ("r18:mit_b0", "t", "s"), ("a:b", "t", "s")
    gains = [
        (*one, "", "typical", 2, 2, 0.9, 0.8, 1.0, True, ""),
        (*one, "kd", "typical", 1, 2, 0.02, 0.01, 0.03, True, ""),
        (*one, "kd", "best", 1, 2, 0.5, 0.4, 0.6, True, ""),
        (*one, "cwd", "typical", 1, 1, 0.02, nothing, nothing, False, ""),
        (*other, "", "typical", 1, 2, -0.01, -0.03, 0.01, False, ""),
    ]
    data = prepare(make(rows, gains=gains))
    labels = data.rows.set_index("row")["label"]
    assert {labels[row]: gain for row, gain in zip(data.means["row"], data.means["gain"], strict=True)} == {
        "r18:mit_b0  kd": pytest.approx(2.0),
        "a:b  dist": pytest.approx(-1.0),
    }
    (trace,) = [trace for trace in figure(data).data if trace.error_x.array is not None]
    assert sorted(trace.marker.symbol) == ["diamond", "diamond-open"]
    assert sorted(trace.error_x.array) == pytest.approx([1.0, 2.0])


def test_the_mean_at_the_other_of_equal_steps_and_compute_stands_below_with_its_bound_or_as_unknown(make):
    rows = [by("kd", 0.42), by("cwd", 0.39), by("dist", 0.40)]
    one, nothing = ("r18:mit_b0", "t", "s"), float("nan")
    gains = [
        (*one, "kd", "typical", 1, 2, 0.02, 0.01, 0.03, True, ""),
        (*one, "cwd", "typical", 1, 2, -0.01, -0.02, 0.0, False, ""),
        (*one, "kd", "typical", 1, 2, 0.004, -0.001, 0.009, False, "Read <early>.", "compute", "at least"),
        (*one, "kd", "best", 1, 2, 0.5, 0.4, 0.6, True, "", "compute", "at least"),
        (*one, "cwd", "typical", 0, 0, nothing, nothing, nothing, False, "Unknown.", "compute", ""),
    ]
    drawing = figure(prepare(make(rows, gains=gains)))
    assert list(drawing.layout.yaxis.ticktext) == [
        "kd<br>+2.0, best +2.0 (n=1)<br>at equal compute at least +0.4",
        "dist<br>+0.0, best +0.0 (n=1)",
        "cwd<br>-1.0, best -1.0 (n=1)<br>at equal compute unknown",
    ]
    own, other = (trace for trace in drawing.data if trace.error_x.array is not None)
    assert sorted(own.x) == pytest.approx([-1.0, 2.0])
    assert list(other.x) == pytest.approx([0.4])
    assert list(other.error_x.array) == pytest.approx([0.5])
    assert other.marker.symbol == ("square-open",)
    assert other.name == "the same at equal compute, in seconds of whole trials"
    (text,) = other.hovertext
    assert text == "mean at least +0.4 points (90 % interval -0.1 to +0.9, n=1, 2 seeds)<br>Read &lt;early&gt;."


def test_of_a_study_at_equal_compute_the_other_is_equal_steps(make):
    one = ("r18:mit_b0", "t", "s")
    gains = [
        (*one, "", "typical", 1, 2, 0.02, 0.01, 0.03, True, "", "compute", ""),
        (*one, "", "typical", 1, 2, 0.05, 0.04, 0.06, True, "", "steps", "at most"),
    ]
    frames = make([by("kd", 0.42)], gains=gains)
    data = prepare(dataclasses.replace(frames, equal="gmac"))
    assert (data.at_equal, data.at_other) == ("at equal compute, in gmac", "at equal steps")
    assert data.means["gain"].tolist() == pytest.approx([2.0])
    assert figure(data).layout.yaxis.ticktext == ("kd<br>+2.0, best +2.0 (n=1)<br>at equal steps at most +5.0",)
