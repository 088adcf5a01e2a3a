"""UTF-8 whatever the locale: in every file that is read or written, and nothing that a terminal lacks ends in a
traceback."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data.catalogue import open_dataset
from trainables.data.names import folded, in_order
from trainables.kept import atomic

ROOT = Path(__file__).parents[1]
FOLDERS = ("explorer", "trainables", "search_spaces", "dashboards", "benchmarks", "docs")
NAMES = ["é.png", "e\u0301x.png", "Z.png", "a.png", "空.png", "z-1.png", "ß.png"]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
LOOK = """
import sys
from trainables.data.catalogue import open_dataset
dataset = open_dataset(sys.argv[1])
print(dataset.digest())
print(*(ascii(sample.image.name) for sample in dataset.samples("train")))
sys.argv = ["heteroakd", "data", "check", sys.argv[1]]
from explorer.cli.app import main
from rich.console import Console
try:
    main()
finally:
    Console().print("Stra\\xdfe \\u2713")
    print("Stra\\xdfe \\u2713")
"""


def _without_encoding(tree: ast.AST):
    """Lines that read or write text without saying how it is encoded."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = getattr(node.func, "value", None)
        modes = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        modes += [getattr(keyword.value, "value", "") for keyword in node.keywords if keyword.arg == "mode"]
        text_mode = any(set(mode) <= set("rwaxt+") for mode in modes)
        if name in {"read_text", "write_text"} and getattr(owner, "id", "") != "atomic":
            yield node.lineno
        is_video = getattr(owner, "id", "") == "av"
        if (
            name == "open"
            and not is_video
            and (text_mode or (owner is None and not any("b" in mode for mode in modes)))
        ):
            yield node.lineno
        if any(keyword.arg in {"text", "universal_newlines"} for keyword in node.keywords) and name in {"run", "Popen"}:
            yield node.lineno


def test_every_text_says_how_it_is_encoded():
    found = []
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            found += [f"{path}:{line}" for line in _without_encoding(ast.parse(path.read_text(encoding="utf-8")))]
    assert found == []


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("path.read_text()", 1),
        ("path.write_text(text)", 1),
        ("open(path)", 1),
        ("open(path, 'w')", 1),
        ("path.open('a')", 1),
        ("subprocess.run(command, text=True)", 1),
        ("path.open('rb')", 0),
        ("open(path, 'wb')", 0),
        ("path.read_text(encoding='utf-8')", 0),
        ("atomic.write_text(path, text)", 0),
        ("Image.open(path)", 0),
    ],
)
def test_the_look_for_them_finds_them(code, number):
    assert len(list(_without_encoding(ast.parse(code)))) == number


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "Bäume"
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number, name in enumerate(NAMES):
            ids = np.arange(64, dtype=np.uint8).reshape(8, 8) % 2
            picture = np.full((8, 8, 3), number + 50 * (split == "val"), np.uint8)
            Image.fromarray(picture).save(root / "images" / split / name)
            Image.fromarray(ids).save(root / "labels" / split / name)
    (root / "dataset.yaml").write_text("classes: [Straße, 空]\n", encoding="utf-8")
    return root


def test_a_terminal_without_the_letters_gets_question_marks_and_the_digest_is_the_same(tree):
    """In a C locale Python decodes names as ASCII with surrogates, and text files as ASCII."""
    environment = {**os.environ, **ASCII, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", LOOK, tree], env=environment, capture_output=True, check=False)
    said = done.stdout.decode()  # click writes UTF-8 to what says that it is ASCII
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    dataset = open_dataset(str(tree))
    digest, names, *rest = said.splitlines()
    assert digest == dataset.digest()
    assert len(names.split()) == len(NAMES)
    there = [os.fsencode(sample.image.name) for sample in dataset.samples("train")]
    assert [os.fsencode(ast.literal_eval(name)) for name in names.split()] == there == sorted(map(os.fsencode, NAMES))
    assert any(" Straße " in line for line in rest)
    assert any("sound" in line for line in rest)
    assert rest[-2:] == ["Stra?e ?"] * 2


def test_a_text_that_no_file_can_hold_is_written_all_the_same(tmp_path):
    atomic.write_text(tmp_path / "card.md", "a \udcff b ä")
    assert (tmp_path / "card.md").read_text(encoding="utf-8") == "a ? b ä"


def test_names_are_ordered_by_their_bytes_and_folded_by_form_and_case():
    assert sorted(["b", "é", "a", "\udcff"], key=in_order) == ["a", "b", "é", "\udcff"]
    assert folded("É.png") == folded("e\u0301.PNG") == "é.png"
    assert folded("STRASSE") == folded("straße")
    assert folded("a") != folded("b")
