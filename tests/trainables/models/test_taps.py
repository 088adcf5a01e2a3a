from __future__ import annotations

import pytest

from trainables.errors import ModelError
from trainables.models.taps import check_tap, table


@pytest.fixture
def pair(network):
    return {"student": network(stage=2), "teacher": network(stage=3, width=6)}


def config_of(small, tap, height=64, width=96):
    fields = {"student": "S:s", "teacher": "T:t", "crop_height": height, "crop_width": width}
    return small(method="heteroakd", projector_tap=tap, **fields)


@pytest.mark.parametrize("tap", ["stage1", "stage4", "decoder"])
def test_a_tap_that_both_have_with_a_grid_is_taken(tap, small, pair):
    check_tap(config_of(small, tap), **pair)


@pytest.mark.parametrize(("role", "name"), [("student", "S:s"), ("teacher", "T:t")])
def test_a_missing_tap_is_refused_with_the_table(role, name, small, pair):
    config = config_of(small, "stage3")
    pair[role].taps = {key: tap for key, tap in pair[role].taps.items() if key != "stage3"}
    with pytest.raises(ModelError) as caught:
        check_tap(config, **pair)
    sentence, *rows = str(caught.value).split("\n")
    assert sentence == f"The {role} {name!r} has no tap 'stage3'."
    assert "\n".join(rows) == table(config, **pair)


@pytest.mark.parametrize(("height", "width"), [(32, 96), (96, 32)])
def test_a_grid_of_one_cell_on_either_side_is_refused_with_the_table(height, width, small, pair):
    config = config_of(small, "stage4", height, width)  # stride 32
    with pytest.raises(ModelError) as caught:
        check_tap(config, **pair)
    sentence, *rows = str(caught.value).split("\n")
    assert sentence == (
        f"projector_tap 'stage4' of the student 'S:s' has 1 cell(s) on a {height}x{width} crop, but 2 are needed. "
        "Choose a finer tap or a larger crop."
    )
    assert "\n".join(rows) == table(config, **pair)


def test_a_teacher_of_coarser_stride_than_the_student_is_looked_at_too(small, network):
    fine, coarse = network(stage=1), network(stage=5)  # decoder at strides 2 and 32
    with pytest.raises(ModelError, match="of the teacher 'T:t' has 1 cell"):
        check_tap(config_of(small, "decoder", 32, 32), student=fine, teacher=coarse)


def test_the_table_shows_channels_and_grids_on_the_crop(small, pair):
    lines = [line.split("  ") for line in table(config_of(small, "stage4"), **pair).splitlines()]
    rows = {line[0]: [cell.strip() for cell in line[1:] if cell.strip()] for line in lines}
    assert rows["tap"] == ["student S:s", "teacher T:t"]
    assert rows["decoder"] == ["6 x 16 x 24", "6 x 8 x 12"]
    assert rows["stage1"] == ["5 x 16 x 24", "7 x 16 x 24"]  # second of five features, width + 1
    assert rows["stage4"] == ["8 x 2 x 3", "10 x 2 x 3"]
