"""The code of docs/own-code.md keeps every claim, and its study is one that a sweep takes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from explorer.study import StudySpec
from trainables.contracts.subject import find
from trainables.losses.find import find_method
from trainables.models.build import build

PAGE = Path(__file__).parents[3] / "docs/own-code.md"
BLOCK = re.compile(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """The page's blocks as the files that they name, and a data set for the one that reads roofs."""
    folder = tmp_path_factory.mktemp("documented")
    for name, text in BLOCK.findall(PAGE.read_text()):
        (folder / name).write_text(text)
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        (folder / "roofs" / split).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / f"roofs/{split}/{number}.jpg")
            Image.fromarray(rng.integers(0, 2, (64, 64), np.uint8)).save(folder / f"roofs/{split}/{number}.png")
    return folder


@pytest.fixture(autouse=True)
def here(code, monkeypatch):
    monkeypatch.chdir(code)
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.mark.parametrize(
    ("name", "kind"), [("nets:small", "network"), ("losses:LogitGap", "loss"), ("sets:roofs:roofs", "data set")]
)
def test_documented_code_keeps_every_claim(name, kind):
    subject = find(name, {})
    assert subject.kind == kind
    assert [finding for finding in subject.findings() if finding.reason] == []


def test_the_documented_study_is_taken(code):
    spec = StudySpec.parse(yaml.safe_load((code / "study.yaml").read_text()))
    spec.check()
    config = spec.search_space.config({"own.alpha": 0.5}, spec.trial_base)
    student, teacher = (build(name, num_classes=2) for name in (config.student, config.teacher))
    built = find_method(config.method)(config, student=student, teacher=teacher, num_classes=2, ignore_index=255)
    assert built.weights == {"loss_task": 1.0, "loss_gap": 0.5}
