"""Crops whose deepest map is too small for statistics that hold for whole images."""

from __future__ import annotations

import pytest

from trainables.preflight.check import preflight

BIG, SE = "fpn:resnet18", "fpn:tu-mobilenetv3_small_050"  # stride 32 at their deepest
OWN = "trainables.contracts.tiny:learner"


def crop(side, other=None):
    return {"crop_height": side, "crop_width": other or side}


@pytest.fixture
def notes(small):
    """What preflight says of cells, on images of up to 48 x 64 pixels."""

    def said(**fields):
        found = preflight([small(**{"method": "task", "student": SE, **fields})]).notes
        return [note for note in found if "cells" in note]

    return said


def test_a_crop_of_few_cells_is_named_with_its_remedy(notes):
    (said,) = notes(**crop(32))
    assert said == (
        f"{SE} has 1x1 cells at its deepest on a crop of 32x32: its BatchNorm and squeeze-and-excite statistics will "
        "not hold for whole images, so scores will be too low. Take crops of 128x128 or more (crop_height, "
        "crop_width), or set eval_mode to slide."
    )


def test_the_shorter_side_decides(notes):
    (said,) = notes(**crop(32, 256))
    assert "has 1x8 cells" in said


def test_windows_of_the_crops_size_are_scored_as_they_were_trained(notes):
    assert notes(**crop(32), eval_mode="slide") == []


def test_a_crop_of_four_cells_a_side_is_large_enough(notes, folder, tmp_path):
    assert notes(**crop(128)) == []


def test_a_crop_that_no_image_exceeds_is_large_enough(notes):
    """48 x 64 pixels: there is nothing larger to score."""
    assert notes(**crop(64)) == []


def test_a_network_that_is_dilated_has_more_cells(notes):
    """DeepLabV3's deepest stride is 8: 32 pixels are 4 cells."""
    assert notes(student="deeplabv3:resnet18", **crop(32)) == []


def test_a_teacher_is_judged_by_its_own_recipe_and_one_that_is_given_by_none(notes):
    recipe = {"steps": 1, "batch_size": 2}
    fields = {"method": "kd", "student": OWN, "teacher": BIG, **crop(128)}
    assert notes(**fields, teacher_recipe={**recipe, **crop(128)}) == []
    (said,) = notes(**fields, teacher_recipe={**recipe, **crop(32)})
    assert said.startswith(f"{BIG} has 1x1 cells")


def test_each_network_is_named_once(small):
    found = preflight([small(method=method, student=SE, **crop(32)) for method in ("task", "kd")]).notes
    assert [said.partition(" ")[0] for said in found].count(SE) == 1
