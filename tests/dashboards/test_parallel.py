import numpy as np
import pytest

from dashboards.parallel import figure, prepare

DIMENSIONS = [("lambda_kd", "float", True), ("depth", "int", False), ("axis", "categorical", False)]


def row(kd, depth, axis, miou, state="COMPLETE"):
    return {"param.lambda_kd": kd, "param.depth": depth, "param.axis": axis, "miou": miou, "state": state}


@pytest.fixture
def data(make):
    rows = [
        row(0.01, 1, "space", 0.40),
        row(1.0, 3, None, 0.30, "PRUNED"),
        row(0.1, None, "class", 0.35),
        row(0.1, 1, "class", 0.35, "RUNNING"),
        row(0.1, 1, "class", float("nan"), "FAIL"),
    ]
    return prepare(make(rows, dimensions=DIMENSIONS))


def axis(data, label):
    return next(axis for axis in data.axes if axis.label == label)


def test_only_complete_and_pruned_trials_with_a_value_have_a_line(data):
    assert np.allclose(data.miou, [40, 30, 35])
    assert data.pruned == (False, True, False)
    assert [axis.label for axis in data.axes] == ["lambda_kd", "depth", "axis", "state", "mIoU (%)"]


def test_log_dimension_is_placed_by_log10_with_real_numbers_at_its_ticks(data):
    kd = axis(data, "lambda_kd")
    assert np.allclose(kd.values, [-2, 0, -1])
    assert np.allclose(kd.ticks, [-2, -1, 0])
    assert kd.texts == ("0.01", "0.1", "1")


def test_large_numbers_are_written_out(make):
    frames = make([{"param.width": width, "miou": 0.3} for width in (300, 2048)], dimensions=[("width", "int", True)])
    assert axis(prepare(frames), "width").texts == ("500", "1000", "2000")


def test_categories_stand_at_whole_numbers_with_their_names(data):
    categories = axis(data, "axis")
    assert categories.texts == ("–", "class", "space")
    assert categories.values == (2.0, 0.0, 1.0)


def test_trial_without_the_dimension_stands_below_the_lowest_value(data):
    depth = axis(data, "depth")
    assert depth.texts[0] == "–"
    assert depth.values[2] == depth.ticks[0] < 1.0
    assert depth.values[:2] == (1.0, 3.0)


def test_state_axis_parts_pruned_from_complete(data):
    state = axis(data, "state")
    assert dict(zip(state.ticks, state.texts, strict=True)) == {0.0: "pruned", 1.0: "complete"}
    assert state.values == (1.0, 0.0, 1.0)


def test_pruned_lines_take_the_grey_end_of_the_scale(data):
    (trace,) = figure(data).data
    grey = trace.line.colorscale[0][1]
    share = (np.array(trace.line.color) - trace.line.cmin) / (trace.line.cmax - trace.line.cmin)
    limit = max(stop for stop, paint in trace.line.colorscale if paint == grey)
    assert (share[[0, 2]] >= limit - 1e-9).all()
    assert share[1] == 0
    assert trace.line.colorbar.ticktext[0] == "pruned"


def test_dimension_that_no_drawn_trial_has_gets_no_axis(make):
    frames = make([{"miou": 0.3}], dimensions=DIMENSIONS)
    assert [axis.label for axis in prepare(frames).axes] == ["state", "mIoU (%)"]


def test_dimension_with_one_value_has_a_range(make):
    frames = make([{"miou": 0.3, "param.lambda_kd": 0.1}], dimensions=DIMENSIONS)
    low, high = axis(prepare(frames), "lambda_kd").limits
    assert low < -1 < high
