"""What is generated in README.md and docs/ is what the code and benchmarks/*.json say now."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import generate
import pytest
from writers import markers, pages
from writers.markers import PageError
from writers.table import BLOCKS

ROOT = Path(__file__).parents[2]
SOURCES = {source for block in BLOCKS.values() for source in block.sources}


@pytest.fixture
def tree(tmp_path):
    """A README with one block, and its JSON."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "docs").mkdir()
    shutil.copyfile(ROOT / "benchmarks/overhead.json", tmp_path / "benchmarks/overhead.json")
    (tmp_path / "README.md").write_text(
        "# Before\n\n<!-- from benchmarks/overhead.json: overhead_ratio -->\nold\n<!-- end -->\n\nAfter.\n"
    )
    return tmp_path


def test_no_page_is_older_than_what_it_shows():
    assert [str(page.relative_to(ROOT)) for page in pages.older(ROOT)] == [], "run `make pages`"


def test_a_block_is_written_and_the_rest_of_the_page_kept(tree):
    assert pages.older(tree) == {
        tree
        / "README.md": "# Before\n\n<!-- from benchmarks/overhead.json: overhead_ratio -->\n\nThe sweep takes 0.99 "
        "times the time of the plain loop.\n\n<!-- end -->\n\nAfter.\n"
    }


def test_a_page_that_was_written_is_no_longer_older(tree):
    for page, text in pages.older(tree).items():
        page.write_text(text)
    assert pages.older(tree) == {}


def test_another_number_in_the_json_makes_the_page_older(tree):
    (tree / "README.md").write_text(pages.older(tree)[tree / "README.md"])
    path = tree / "benchmarks/overhead.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sweep_wall_over_plain_wall": 1.5}))
    assert "The sweep takes 1.50 times" in pages.older(tree)[tree / "README.md"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "<!-- from benchmarks/overhead.json: nonsense -->\n<!-- end -->",
            "README.md:1: nothing is called 'nonsense'. Take a name of docs/writers/table.py.",
        ),
        (
            "\n<!-- from benchmarks/loop.json: overhead_ratio -->\n<!-- end -->",
            "README.md:2: overhead_ratio is not from benchmarks/loop.json. "
            "Write `<!-- from benchmarks/overhead.json: overhead_ratio -->`.",
        ),
        (
            "<!-- from benchmarks/overhead.json: overhead_ratio -->\nand no end",
            "README.md: overhead_ratio is not closed. Write `<!-- end -->` after it.",
        ),
        (
            "<!-- from benchmarks/overhead.json: overhead_ratio -->\n"
            "<!-- from benchmarks/overhead.json: overhead_times -->\n<!-- end -->",
            "README.md:2: overhead_times begins within overhead_ratio. Write `<!-- end -->` before it.",
        ),
        (
            "text\n<!-- end -->",
            "README.md:2: `<!-- end -->` closes nothing. Write `<!-- from SOURCE: NAME -->` before it, or remove it.",
        ),
        (
            "It takes <!-- from benchmarks/overhead.json: overhead_ratio --> long.",
            "is no marker. Give `<!-- from SOURCE: NAME -->` or `<!-- end -->` a line of its own.",
        ),
        (
            "<!-- from benchmarks/loop.json: loop_speeds -->\n<!-- end -->",
            "README.md:1: benchmarks/loop.json is not there. Run python benchmarks/loop.py first.",
        ),
    ],
)
def test_a_marker_that_cannot_be_followed_is_refused(tree, text, reason):
    (tree / "README.md").write_text(text)
    with pytest.raises(PageError, match=re.escape(reason)):
        pages.older(tree)


def test_markers_in_code_are_text(tree):
    text = "```\n<!-- from anywhere: overhead_ratio -->\n<!-- end -->\n```"
    (tree / "README.md").write_text(text)
    assert pages.older(tree) == {}
    assert markers.names(text) == []


def test_a_measurement_on_no_page_is_said(tree):
    (tree / "benchmarks/new.json").write_text("{}")
    said = list(pages.unused(tree))
    assert "benchmarks/new.json is on no page." in said
    assert "benchmarks/overhead.json is on no page." not in said
    assert "`<!-- from benchmarks/loop.json: loop_speeds -->` is on no page." in said


def test_the_script_checks_and_writes(tree, monkeypatch, capsys):
    monkeypatch.setattr(generate, "ROOT", tree)

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["generate.py", *options])
        return generate.main(), capsys.readouterr().out

    code, said = run("--check")
    assert code == 1
    assert "README.md: older than what it shows; run make pages" in said
    code, said = run()
    assert code == 0
    assert "README.md: written" in said
    code, said = run("--check")
    assert code == 0
    assert "README.md" not in said
    (tree / "README.md").write_text("<!-- end -->\n")
    code, said = run()
    assert code == 1
    assert said.startswith("Error: README.md:1: `<!-- end -->` closes nothing.")


def test_every_source_of_a_block_is_measured_or_still_to_come():
    measured = {path.name for path in (ROOT / "benchmarks").glob("*.json")}
    assert SOURCES - measured <= {"soak.json"}


def test_measured_has_no_number_that_was_typed():
    """Outside of blocks and code, words say what is counted."""
    text = (ROOT / "docs/measured.md").read_text()
    typed = re.sub(r"<!-- from .*?<!-- end -->|```.*?```|`[^`]*`|\([^)]*\)", "", text, flags=re.DOTALL)
    assert re.findall(r".*\d.*", typed) == []
