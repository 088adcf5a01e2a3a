"""docs/start.md as a reader follows it: every command in it, in its order, on the embedded images.

Cheaper than for a reader in four ways. `heteroakd` runs in this process, so that its verbs share one Ray, which has one
core: each further worker imports PyTorch for ten seconds. Numbers that only make it longer are smaller (SMALLER). The
bundle has no graphs, which the tutorial's test holds against PyTorch. And pip is a stand-in that notes what it is asked
for: the environment of this test is what it would have made.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from following import ROOT, TINY_PAIR, blocks, commands, heteroakd, one_core

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = ROOT / "docs/start.md"
INSTALL, *REST = blocks(PAGE)
SMALLER = {"--trials": "2", "--steps": "2", "--top": "1", "--seeds": "1", "--pair": TINY_PAIR}
RECIPE = "teacher_recipe={steps: 120}"
TEST_IMAGES = ROOT / "trainables/data/earth/images/test"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the source, as far as the page needs it."""
    home = tmp_path_factory.mktemp("source")
    for name in ("trainables", "pyproject.toml"):
        (home / name).symlink_to(ROOT / name)
    return home


@pytest.fixture(scope="module")
def printed(folder):
    """What each verb printed, in the order of the page."""
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HETEROAKD_CACHE", str(folder / "cache"))
        with one_core():
            for words in (words for block in REST for words in commands(block)):
                assert words[0] == "heteroakd"
                said[words[1]] = heteroakd(_smaller(words[1:]))
    return said


def _smaller(words: list[str]) -> list[str]:
    """The same command, shorter: what stands after an option of SMALLER is replaced, and the teacher's recipe."""
    taken = [SMALLER.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    taken = ["teacher_recipe={steps: 2}" if word == RECIPE else word for word in taken]
    return [*taken, "--no-onnx"] if words[0] == "export" else taken


def test_the_page_goes_from_nothing_to_predictions():
    verbs = [words[1] for block in REST for words in commands(block)]
    assert verbs == ["sweep", "dashboard", "confirm", "export", "predict"]


def test_what_is_shortened_stands_on_the_page():
    words = [word for block in REST for command in commands(block) for word in command]
    assert {*SMALLER, RECIPE} <= set(words)


def test_the_install_makes_an_environment_and_asks_for_extras_that_there_are(folder):
    tools = folder / "tools"
    tools.mkdir()
    stand_ins = {"python3": f'exec "{sys.executable}" "$@" --without-pip', "pip": 'echo "$VIRTUAL_ENV: $@"'}
    for name, text in stand_ins.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-e", "-c", INSTALL], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder / '.venv'}: install .[all]\n"
    assert "all" in tomllib.loads((folder / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_the_sweep_tells_teacher_baseline_and_every_trial(printed):
    said = printed["sweep"]
    for part in ("teacher fpn:tu-test_resnet: mIoU", "baseline 0:", "search 0:", "search 1:", "study: sweeps/start"):
        assert part in said


def test_the_dashboard_is_one_page(folder, printed):
    assert "<html" in (folder / "sweeps/start/dashboard.html").read_text()[:500]


def test_the_bundle_is_of_the_confirmed_config(folder, printed):
    metrics = json.loads((folder / "best/metrics.json").read_text())
    assert metrics["chosen"] == "confirmed"
    assert (metrics["confirmed"]["num_seeds"], metrics["confirmed"]["split"]) == (1, "test")
    wanted = {"best.yaml", "README.md", "student.safetensors", "predict.py", "reproduce.sh"}
    assert wanted <= {path.name for path in (folder / "best").iterdir()}


def test_the_last_line_is_the_confirmed_gain_of_which_one_seed_gives_no_interval(printed):
    last = printed["export"].splitlines()[-1]
    assert last.startswith("on average over 1 fresh seeds, on test: mIoU ")
    assert last.endswith("points over the student alone on the same seeds (one seed gives no interval)")


def test_every_test_image_has_a_mask_of_class_ids_and_an_overlay(folder, printed):
    names = {path.stem for path in TEST_IMAGES.iterdir()}
    assert len(names) == 42
    for kind in ("masks", "overlays"):
        assert {path.stem for path in (folder / "predicted" / kind).iterdir()} == names
    mask = np.array(Image.open(folder / "predicted/masks" / f"{min(names)}.png"))
    assert mask.shape == (128, 128)
    assert mask.max() < 7
