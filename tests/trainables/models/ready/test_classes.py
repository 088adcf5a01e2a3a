"""Which of a teacher's classes speak for ours, and what becomes of their probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.errors import TeacherError
from trainables.models.ready.classes import NOBODY, apply, match

OURS = ("water", "forest", "bare land")


def table(theirs, wanted=None, synonyms=None, num=None):
    return match(OURS, theirs, wanted, synonyms or {}, num_theirs=num or len(theirs), teacher="hf:x")


def test_probabilities_of_classes_that_become_one_are_summed_as_numpy_sums_them():
    logits = torch.randn(2, 6, 3, 5, generator=torch.Generator().manual_seed(0)) * 4
    found = table(tuple("abcdef"), {"water": ["a", 4], "forest": "c"})
    got = apply(logits, found.sources).softmax(dim=1).numpy()
    raised = np.exp(logits.numpy().astype(np.float64))
    theirs = raised / raised.sum(axis=1, keepdims=True)
    ours = np.stack([theirs[:, 0] + theirs[:, 4], theirs[:, 2], np.zeros_like(theirs[:, 0])], axis=1)
    np.testing.assert_allclose(got, ours / ours.sum(axis=1, keepdims=True), atol=1e-6)


def test_one_to_one_the_logits_stay_what_they_were():
    logits = torch.randn(1, 3, 2, 2)
    swapped = apply(logits, table(("b", "a", "c"), {"water": 1, "forest": 0, "bare land": 2}).sources)
    assert torch.equal(swapped, logits[:, [1, 0, 2]])


@pytest.mark.parametrize(
    "theirs",
    [
        ("Water", "FOREST", "bare-land"),
        ("water;sea", "forest, wood", "x;bare_land"),
        ("water", "forest", " bare land "),
    ],
)
def test_names_match_whatever_their_case_spaces_and_further_names(theirs):
    found = table(theirs)
    assert found.sources == ((0,), (1,), (2,))
    assert found.is_identity


def test_a_class_that_nobody_speaks_for_is_left_out_and_said():
    found = table(("forest", "sky", "water"))
    assert (found.covered, found.unused) == ((0, 1), ("sky",))
    assert found.lines() == ["water      water", "forest     forest", "bare land  - (nobody)", "unused: sky"]
    assert apply(torch.zeros(1, 3, 1, 1), found.sources)[0, :, 0, 0].tolist() == [0, 0, NOBODY]


def test_synonyms_of_a_spec_make_many_one():
    found = table(("sea", "lake", "forest", "car"), "name", {"water": ["sea", "Lake"]})
    assert found.sources == ((0, 1), (2,), ())


def test_without_names_the_order_counts():
    for names in ((), ("LABEL_0", "LABEL_1", "LABEL_2"), ("0", "1", "2")):
        assert table(names, num=3).is_identity


@pytest.mark.parametrize(
    ("theirs", "wanted", "synonyms", "sentence"),
    [
        (("a", "b"), None, {}, "No class of the teacher 'hf:x' fits one of the data set's. It has 'a', 'b'; the"),
        (("a", "b"), "order", {}, "has 2 classes and the data set has 3"),
        ((), "name", {}, "does not name its classes"),
        (("water", "Water "), "name", {}, "'water' fits several classes of the teacher"),
        (("wet",), "name", {"water": ["wet"], "forest": ["Wet"]}, "fits both 'water' and 'forest'"),
        (("water",), "name", {"lava": ["x"]}, "Unknown class in teacher_synonyms 'lava'"),
        (("a", "b"), {"lava": "a"}, {}, "Unknown class in teacher_classes 'lava'"),
        (("a", "b"), {"water": "c"}, {}, "Unknown class of the teacher 'hf:x' 'c'"),
        (("a", "b"), {"water": 2}, {}, "names class 2, but the teacher 'hf:x' has 2, 0 to 1"),
        (("a", "b"), {"water": "a", "forest": 0}, {}, "gives 'a' to two classes"),
        (("a", "A"), {"water": "a"}, {}, "'a' fits several classes"),
    ],
)  # fmt: skip
def test_what_fits_nothing_or_too_much_is_refused(theirs, wanted, synonyms, sentence):
    with pytest.raises(TeacherError, match=sentence):
        table(theirs, wanted, synonyms, num=len(theirs) or 3)
