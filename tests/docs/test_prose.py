"""README, CONTRIBUTING and docs/: the verbs, options, files and wings that they name exist."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from following import PAGES, ROOT, named, unknown

README = (ROOT / "README.md").read_text()
TREE = README.partition("## The tree")[2].split("```")[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_verb_and_option_that_a_page_names_exists(page):
    assert {wrong for text in named(page) for wrong in unknown(text)} == set()


@pytest.mark.parametrize("text", ["swep demo.yaml", "sweep --trails 3", "data chek x", "data check x --outs y"])
def test_a_verb_or_option_that_is_misspelt_would_be_found(text):
    assert list(unknown(text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_this_tree_that_a_page_names_in_code_exists(page):
    top = "trainables|search_spaces|explorer|dashboards|cluster|docs|benchmarks|tests"
    paths = set(re.findall(rf"`((?:{top})/[\w./-]*)`", page.read_text()))
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_the_tree_names_every_wing_once():
    tops = {"trainables": "", "search_spaces": "", "explorer": "", "dashboards": ""}
    wings = [path.parent for top in tops for path in (ROOT / top).glob("*/__init__.py")]
    listed = re.findall(r"(?<![\w/])([a-z_]+)/", re.sub("<-.*", "", TREE))
    for name in [*tops, "cluster", "docs", "benchmarks", "tests", *(wing.name for wing in wings)]:
        assert listed.count(name) == 1, name
    rooms = {*(wing.name for wing in wings), "earth"}
    assert {name for name in listed if not (ROOT / name).is_dir()} <= rooms
