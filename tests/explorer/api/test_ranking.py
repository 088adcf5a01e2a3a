"""`heteroakd pairs --student`: the order of teachers, of evidence that is given."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import explorer
from explorer.cli.app import app
from search_spaces.pairs import NETWORKS, PAIRS
from trainables.errors import ConfigError
from trainables.preflight.evidence import Evidence

NAN = float("nan")


@pytest.fixture
def asked(monkeypatch):
    """The configs whose teacher was looked at; a longer teacher's name scores more, a backbone has no score."""
    configs = []

    def evidence(config, dataset, *, steps):
        configs.append((config, steps))
        score = NAN if config.teacher.startswith("timm:") else len(config.teacher) / 100
        return Evidence(0.31, 0.25, 0.4, 0.05, 1.3, 0.5, 0.1, 0.7, score, 12.0, 3.0)

    monkeypatch.setattr("trainables.preflight.evidence.evidence", evidence)
    return configs


def test_without_names_the_teachers_are_those_of_the_known_pairs(asked, tiny_data):
    found = explorer.rank_teachers("mbv3s", data=tiny_data, say=lambda _: None, lr=0.002)
    known = {pair.teacher.model for pair in PAIRS.values() if pair.student == NETWORKS["mbv3s"]}
    assert set(found["teacher"]) == known
    assert found["teacher"].tolist() == sorted(found["teacher"], key=len, reverse=True)
    assert found["rank"].tolist() == list(range(1, len(known) + 1))
    assert {(config.student, config.teacher_recipe.lr, steps) for config, steps in asked} == {
        (NETWORKS["mbv3s"].model, 0.002, 100)
    }


def test_the_command_tells_the_best_first_and_a_backbone_last(asked, tiny_data):
    options = ["--student", "own.net:a", "--data", str(tiny_data), "--teachers", "timm:vit, r18,mit_b0", "--steps", "7"]
    told = CliRunner().invoke(app, ["pairs", *options])
    assert told.exit_code == 0, told.output
    rows = [line.split("│")[1:] for line in told.output.splitlines() if line.startswith("│")]
    assert [row[1].strip() for row in rows] == [NETWORKS["r18"].model, NETWORKS["mit_b0"].model, "timm:vit"]
    assert [row[2].strip() for row in rows] == ["CNN", "Transformer", "Transformer"]
    assert [row[3].strip() for row in rows] == ["+18.00", "+16.00", "-"]
    assert "31.00 % mIoU on val after 7 steps; 25.0 % of its pixels are wrong" in told.output


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"student": "own.net:a"}, "No known pair has the student 'own.net:a'"),
        ({"student": "mbv3s", "teacher": "r18"}, "teacher is said by the ranking itself"),
        ({"student": "mbv3s", "steps": 0}, "steps must be >= 1, got 0"),
        ({"student": "mbv3s", "lrr": 0.1}, "Unknown field 'lrr'"),
    ],
)
def test_what_cannot_be_ranked_is_refused_in_a_sentence(asked, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        explorer.rank_teachers(**options)
    assert not asked
