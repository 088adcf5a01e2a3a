"""docs/tutorial.md as a reader follows it: every command in it, in its order, on a small folder of real images.

What only makes it longer is smaller (SMALLER): steps, trials, networks. `heteroakd` runs in this process and without a
Ray, which the sweep of test_start.py has; the bundle's scripts run in their own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).with_name("docs")))
from following import heteroakd

from trainables.data.masks import read_mask

ROOT = Path(__file__).parents[1]
EARTH = ROOT / "trainables/data/earth"
TEXT = (ROOT / "docs/tutorial.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
SMALLER = {
    "--trials 4": "--trials 2",
    "--steps 12": "--steps 3",
    "--top 2": "--top 1",
    "--out bundle": "--out bundle --size 128x128",
    "mit_b0:mbv3s": "'fpn:tu-test_resnet>fpn:tu-test_resnet'",
}
COUNTS = {"train": 8, "val": 4, "test": 3}


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A folder with my-photos, and an environment in which `heteroakd` and `python` are ours."""
    home = tmp_path_factory.mktemp("reader")
    for split, count in COUNTS.items():
        for image in sorted((EARTH / "images" / split).glob("*.jpg"))[:count]:
            for kind, name in (("images", image.name), ("labels", f"{image.stem}.png")):
                target = home / "my-photos" / kind / split / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(EARTH / kind / split / name, target)
    shutil.copyfile(EARTH / "dataset.yaml", home / "my-photos/dataset.yaml")
    commands = home / "bin"
    commands.mkdir()
    python = f'"{os.environ["WARM_PYTHON"]}"'
    verbs = f'{python} -c "from explorer.cli.app import main; main()"'
    for name, command in {"python": python, "heteroakd": verbs}.items():
        (commands / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (commands / name).chmod(0o755)
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    ours = {"PATH": path, "PYTHONPATH": str(ROOT), "HETEROAKD_CACHE": str(home / "cache"), "OMP_NUM_THREADS": "1"}
    return home, {**os.environ, **ours}


@pytest.fixture(scope="module")
def followed(reader, without_ray):
    """What each verb printed; figures only where there is a browser."""
    home, environment = reader
    printed = {}
    with pytest.MonkeyPatch.context() as patch, without_ray():
        patch.chdir(home)
        patch.setenv("HETEROAKD_CACHE", environment["HETEROAKD_CACHE"])
        for line in "".join(BLOCKS).replace("\\\n", " ").splitlines():
            for longer, shorter in SMALLER.items():
                line = line.replace(longer, shorter)
            if not line.startswith("heteroakd "):
                said = subprocess.run(["sh", "-e", "-c", line], env=environment, capture_output=True, text=True)
                assert said.returncode == 0, f"{line}\n{said.stdout}\n{said.stderr}"
                printed[line.split()[-1]] = said.stdout
                continue
            _, *words = shlex.split(line)
            if words[0] == "figures" and shutil.which("chromium") is None:
                continue
            printed[words[0]] = heteroakd(words)
    return home, printed


def test_it_goes_the_whole_way():
    assert all(longer in TEXT for longer in SMALLER)
    verbs = re.findall(r"^heteroakd (\w+)", "\n".join(BLOCKS), re.MULTILINE)
    assert verbs == ["data", "sweep", "dashboard", "pictures", "figures", "confirm", "export", "predict"]


def test_the_sheets_the_page_and_the_figures_are_there(followed):
    home, printed = followed
    for sheet in ("check.png", "trials.png"):
        with Image.open(home / sheet) as picture:
            assert picture.width > 500
    assert "<html" in (home / "sweeps/first/dashboard.html").read_text()[:500]
    if "figures" in printed:
        assert {path.name for path in (home / "figures").iterdir()} >= {"history.svg", "curves.svg"}


def test_the_bundle_is_of_the_confirmed_config_and_says_so(followed):
    home, printed = followed
    metrics = json.loads((home / "bundle/metrics.json").read_text())
    assert metrics["chosen"] == "confirmed"
    assert (metrics["confirmed"]["num_seeds"], metrics["confirmed"]["split"]) == (2, "test")
    assert "fresh seeds" in (home / "bundle/README.md").read_text()
    assert all("size" in facts for facts in metrics["files"].values()), metrics["files"]
    assert "confirmed on 2 fresh seeds" in printed["export"]
    told = metrics["confirmed"]
    low, high = (f"{100 * told[name]:+.2f}" for name in ("gain_low", "gain_high"))
    last = printed["export"].splitlines()[-1]
    assert f"on test: mIoU {100 * told['miou']:.2f} %, {100 * told['gain']:+.2f} points over the student alone" in last
    assert last.endswith(f"(90 % interval {low} to {high})")


def test_predictions_are_masks_of_the_data_sets_kind(followed):
    home, _ = followed
    masks = sorted((home / "predicted/masks").iterdir())
    assert len(masks) == COUNTS["test"] == len(list((home / "predicted/overlays").iterdir()))
    for mask in masks:
        label = read_mask(home / "my-photos/labels/test" / mask.name)
        assert read_mask(mask).shape == label.shape
        assert read_mask(mask).max() < 7
    assert (np.array(Image.open(home / "mask.png")) == read_mask(masks[0])).mean() > 0.999


def test_the_shipped_config_trains_to_the_same_miou(followed):
    assert "reproduced" in followed[1]["bundle/reproduce.sh"]
