"""What the live dashboard writes: its tables, and the panel of a trial."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from dashboards.live import panel, tables
from dashboards.live.source import Detail, Pictures


def texts(tree):
    """Every text of a tree, in order."""
    return [tree] if isinstance(tree, str) else [text for part in tree[2] for text in texts(part)]


def cells(tree):
    """The texts of each row of the tables in a tree."""
    if isinstance(tree, str):
        return []
    return (
        [["".join(texts(cell)) for cell in tree[2]]]
        if tree[0] == "tr"
        else [r for part in tree[2] for r in cells(part)]
    )


class TestTables:
    def test_trials_are_sorted_paged_and_written_in_their_units(self, make):
        frames = make([{"miou": 0.30 + 0.001 * number, "miou_low": 0.25, "baseline": 0.31} for number in range(120)])
        pages, table = tables.trials(frames, order=tables.Order.parse("miou:down"), page=1)
        head, *body = cells(table)
        assert head[7] == "mIoU (%) ▾"
        assert [row[0] for row in body] == [str(number) for number in range(69, 19, -1)]
        assert body[0][7:11] == ["36.90", "+5.90", "25.00", "–"]
        assert texts(pages)[0] == "51 to 100 of 120"

    def test_a_page_beyond_the_last_is_the_last(self, make):
        pages, _ = tables.trials(make([{"miou": 0.3}] * 60), order=tables.Order(), page=7)
        assert texts(pages)[0] == "51 to 60 of 60"

    @pytest.mark.parametrize("asked", [None, "", "nonsense:down", "__class__:up", "miou"])
    def test_an_order_that_is_none_is_a_default(self, asked):
        assert tables.Order.parse(asked).by in ("number", "miou")

    def test_missing_values_come_last_either_way(self, make):
        frames = make([{"miou": math.nan}, {"miou": 0.2}, {"miou": 0.3}])
        for way, expected in (("up", ["1", "2", "0"]), ("down", ["2", "1", "0"])):
            _, table = tables.trials(frames, order=tables.Order.parse(f"miou:{way}"), page=0)
            assert [row[0] for row in cells(table)[1:]] == expected

    def test_studies_are_one_row_each(self, make, alone):
        one = make(
            [{"miou": 0.4, "baseline": 0.3}, {"state": "PRUNED"}, alone | {"miou": 0.3}], summary={"data": "earth"}
        )
        (tree,) = tables.several({"a": one, "b": make([{"state": "FAIL"}])}, current="a")
        assert cells(tree)[1] == ["a", "earth", "2", "1", "1", "0", "40.00", "+10.00", "0.0"]
        assert cells(tree)[2][:8] == ["b", "", "1", "0", "0", "1", "–", "–"]


class TestPanel:
    @pytest.mark.parametrize(
        "key", [None, "", "search", "search-", "search--1", "other-1", "search-1e3", "search-²", "search-9999999999"]
    )
    def test_what_names_no_trial_opens_none(self, make, key):
        assert panel.row_of(make([{"miou": 0.3}]), key) is None

    def test_it_tells_what_the_trial_was_and_reached(self, make):
        row = {
            "miou": 0.4321,
            "miou_low": 0.4012,
            "miou_high": 0.47,
            "baseline": 0.4,
            "state": "FAIL",
            "reason": "<b>out</b> of memory",
            "param.lambda_kd": 0.1,
        }
        told = " ".join(
            text for tree in panel.facts(make([row]).trials.iloc[0], Detail({"lr": "0.001"})) for text in texts(tree)
        )
        for expected in (
            "<b>out</b> of memory",
            "43.21 %",
            "+3.21 points",
            "on other images from 40.12 % to 47.00 %",
            "lambda_kd 0.1",
            "lr 0.001",
            "step 400 of 400",
        ):
            assert expected in told

    def test_classes_are_compared_with_the_student_alone(self):
        detail = Detail(classes=("water", "forest"), iou=(0.5, math.nan), alone=(0.4, 0.2))
        _, _, bars = panel.classes(detail)
        assert [[text for text in texts(bar) if text] for bar in bars[2]] == [
            ["water", "50.0 % (+10.0)"],
            ["forest", "–"],
        ]
        assert panel.classes(Detail()) == []
        assert "class 0" in texts(panel.classes(Detail(iou=(0.5,)))[2])

    def test_a_class_stands_behind_its_colour_in_the_pictures(self):
        *_, bars = panel.classes(Detail(classes=("water",), iou=(0.5, 0.5), palette=((1, 2, 3),)))
        named = [bar[2][0] for bar in bars[2]]
        assert named[0][2][0][1]["style"] == "background: rgb(1, 2, 3)"
        assert [texts(one) for one in named] == [["water"], ["class 1"]]

    def test_a_picture_is_what_was_predicted(self):
        array = np.zeros((4, 6, 3), np.uint8)
        array[1, 2] = (213, 94, 0)
        kind, _, data = panel.uri(array, photo=False).partition(";base64,")
        assert kind == "data:image/png"
        assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) == array).all()

    def test_pictures_that_are_not_there_say_why(self):
        assert texts(panel.pictures(Pictures(note="gone"))[1]) == ["gone"]
        assert "Computing" in texts(panel.pictures(Pictures(pending=True))[1])[0]

    def test_pictures_say_what_the_difference_shows(self):
        assert "wrong pixels in orange" in texts(panel.pictures(Pictures())[1])[0]
