"""A bundle whose int8 graph is of a student that was fine-tuned for it."""

from __future__ import annotations

import pytest
from safetensors.numpy import load_file

import explorer
from explorer.bundle import export as exporting
from explorer.bundle.contents import Graphs
from explorer.bundle.export import export
from trainables.errors import ConfigError, StudyError
from trainables.serving import exported


@pytest.fixture(scope="module")
def study(make_study, tiny_data, tmp_path_factory):
    directory = tmp_path_factory.mktemp("study")
    make_study(directory, tiny_data)
    return directory


def test_a_student_is_fine_tuned_for_int8_by_its_teacher_and_the_rest_stays(study, tmp_path, monkeypatch):
    seen = []

    def watched(config, learnt, *, teacher, **given):
        seen.append((config.method, teacher is not None, {name.partition(".")[0] for name in learnt}))
        return tune(config, learnt, teacher=teacher, **given)

    tune = exporting.aware.fine_tune
    monkeypatch.setattr(exporting.aware, "fine_tune", watched)
    metrics = export(study, tmp_path / "out", graphs=Graphs(qat_steps=2, max_loss=100.0, size=(64, 64)))
    assert seen[0][:2] == ("kd", True)
    assert "student" in seen[0][2]
    told = metrics["files"]["student.int8.onnx"]
    assert told["points_lost"] == min(told["plain_lost"], told["tuned_lost"])
    words = f"it loses {told['tuned_lost']:.2f} points, as it was {told['plain_lost']:.2f} points"
    assert words in (tmp_path / "out/README.md").read_text()
    export(study, tmp_path / "plain", graphs=None)
    same = [load_file(tmp_path / name / "student.safetensors") for name in ("plain", "out")]
    assert all((same[0][name] == value).all() for name, value in same[1].items())

    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    monkeypatch.setattr(exporting.samples, "known_teacher", lambda *_, **__: None)
    with pytest.raises(StudyError, match=r"taught trial \d and is not here any more"):
        export(study, tmp_path / "out", graphs=Graphs(qat_steps=2))
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_a_fine_tuned_student_that_leaves_no_graph_says_so(study, tmp_path, monkeypatch):
    write, tries = exported.write, []

    def second_fails(*given, **named):
        tries.append(given)
        return write(*given, **named) if len(tries) == 1 else {"student.onnx": {"reason": "it took two minutes"}}

    monkeypatch.setattr(exported, "write", second_fails)
    metrics = export(study, tmp_path / "out", graphs=Graphs(qat_steps=1, max_loss=100.0, size=(64, 64)))
    assert metrics["files"]["student.int8.onnx"]["tuned_reason"] == "it took two minutes"
    assert "left no graph: it took two minutes" in (tmp_path / "out/README.md").read_text()


def test_fine_tuning_for_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"^qat_steps must be >= 0, got -1\.$"):
        Graphs(qat_steps=-1).check()
    with pytest.raises(ConfigError, match="fine-tunes for int8, which is not asked for"):
        Graphs(qat_steps=5, quantize=False).check()
    with pytest.raises(ConfigError, match="and no graphs are asked for"):
        explorer.Study("nowhere").export("out", onnx=False, qat_steps=5)
