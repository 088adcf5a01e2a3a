"""What a sweep refuses or meets before and beside its trials, each as one sentence with a remedy that works."""

from __future__ import annotations

import errno
import io
import os

import pandas as pd
import pytest
from optuna.trial import TrialState
from ray._private.utils import validate_socket_filepath
from ray.exceptions import GetTimeoutError, RayTaskError
from rich.console import Console

from explorer.api import driving
from explorer.cli.pair_table import pair_table
from explorer.launch import cluster, sweep, tasks
from explorer.launch.cluster import check_sockets
from explorer.launch.progress import Progress
from explorer.launch.tasks import _failed, _Task
from explorer.output import console
from explorer.search.arms import open_arms
from explorer.study import SPEC_FILE, StudySpec
from trainables.errors import ConfigError, Interrupted, StudyError


def quiet():
    return Console(quiet=True)


def test_a_cache_that_cannot_be_written_is_said_before_a_study_is_begun(tiny_spec, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="set HETEROAKD_CACHE to one"):
        sweep.sweep(StudySpec.parse(tiny_spec), tmp_path / "study", console=quiet())
    assert not (tmp_path / "study" / SPEC_FILE).exists()


def in_task(cause):
    return RayTaskError("train_teacher", "a traceback\nof many lines", cause)


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/cache/x"), "Permission denied (/cache/x)"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (ConnectionError("nobody answers."), "nobody answers"),
    ],
)
def test_an_error_of_the_system_in_a_task_is_one_sentence(cause, said):
    with pytest.raises(Interrupted) as caught:
        _failed(_Task("net", {}, {}), in_task(cause), None, 1, "teacher")
    assert str(caught.value) == f"The work on teacher net failed: {said}. Mend that, then resume."


@pytest.mark.parametrize("cause", [GetTimeoutError("late"), KeyError("x")])
def test_what_is_no_error_of_the_system_is_not_said_as_one(cause):
    assert tasks.of_system(in_task(cause)) is None


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such sockets")
@pytest.mark.parametrize("name", ["RAY_TMPDIR", "TMPDIR"])
def test_a_folder_too_long_for_rays_sockets_is_refused_before_ray_starts(monkeypatch, tiny_spec, tmp_path, name):
    long = "/tmp/" + "x" * 80
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(name, long)
    with pytest.raises(StudyError) as caught:
        sweep.sweep(StudySpec.parse(tiny_spec), tmp_path / "study", console=quiet())
    assert str(caught.value).startswith(f"{name} is {long}, ")
    assert str(caught.value).endswith("Set RAY_TMPDIR to a shorter folder, such as /tmp.")
    assert not (tmp_path / "study").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such sockets")
def test_a_folder_that_passes_is_short_enough_for_ray(monkeypatch):
    passed = []
    for length in range(1, 100):
        root = "/" + "x" * length
        monkeypatch.setenv("RAY_TMPDIR", root)
        try:
            check_sockets()
        except StudyError:
            break
        passed.append(root)
    assert 20 < len(passed) < 60
    validate_socket_filepath(f"{passed[-1]}/ray/{cluster._SESSION}/sockets/plasma_store")
    with pytest.raises(OSError, match="AF_UNIX"):
        validate_socket_filepath(f"{passed[-1]}xxxx/ray/{cluster._SESSION}/sockets/plasma_store")


def test_a_pipe_has_no_width_that_would_cut_a_table():
    """Under pytest, output is none of a terminal."""
    for found in (console(), driving.console()):
        assert not found.is_terminal
        assert found.width >= 1000


def test_a_narrow_terminal_loses_no_letter_of_the_pairs():
    names = ["mit_b5_on_a_long_name:mobilenetv3_small_050", "transformer to cnn", "segformer:mit_b5", "fpn:tu-mobile"]
    row = {"pair": names[0], "direction": names[1], "teacher": names[2], "student": names[3]}
    costs = {f"{who}_{what}": 1 for who in ("teacher", "student") for what in ("parameters_millions", "gmac", "stride")}
    for who in ("teacher", "student"):
        costs |= {f"{who}_{what}_licence": "MIT" for what in ("code", "weights", "data")}
    costs["student_code_licence"] = "Some licence, non-commercial"
    out = io.StringIO()
    Console(file=out, width=80).print(pair_table(pd.DataFrame([row | costs]), title="pairs"))
    assert "\u2026" not in out.getvalue()
    cells = [line.split("\u2502")[1:] for line in out.getvalue().splitlines() if line.startswith("\u2502")]
    columns = ["".join(cell.strip() for cell in column) for column in zip(*cells, strict=True)]
    assert columns[0] == names[0]
    assert columns[2] == names[2]
    assert columns[-2] == "student"


def lines(spec, tmp_path, chosen):
    """What progress says of a search's trials, given what they chose, without the clock."""
    arms, out = open_arms(spec, tmp_path, data_digest="d", new=True), io.StringIO()
    with Progress(arms, Console(file=out, width=20)):
        for _ in range(chosen):
            trial, _ = arms["search"].ask()
            arms["search"].report(trial, 0.5, 1)
            arms["search"].tell(trial, TrialState.COMPLETE, miou=0.5)
    return [line.partition(": ")[2].partition(" mIoU")[0] for line in out.getvalue().splitlines()]


def test_progress_names_the_method_where_methods_differ_and_the_seed_where_seeds_do(tmp_path):
    points = [{"method": "cwd"}, {"method": "kd"}]
    spec = StudySpec.parse({"preset": "methods", "seeds": [0, 1], "base": {"steps": 9}, "space": {
        "method": ["cwd", "kd"]}, "enqueue": points, "num_trials": 4, "probes": 0, "balance": None})  # fmt: skip
    said = lines(spec, tmp_path, 4)
    pair = said[0].split()[0]
    assert said[:2] == [f"{pair} cwd seed 0", f"{pair} kd seed 1"]
    assert len(set(said)) == 4


def test_progress_names_the_numbers_where_nothing_else_differs(tmp_path, make_spec):
    spec = make_spec(enqueue=[{"lambda_kd": 0.12345}], num_trials=1, probes=0)
    (said,) = lines(spec, tmp_path, 1)
    assert said.endswith(" lambda_kd 0.123")


def test_progress_names_no_choice_that_is_none(tmp_path, make_spec):
    space = {"kmm": [True, False], "lambda_hakd": {"low": 0.1, "high": 10.0}}
    spec = make_spec(space=space, enqueue=[{"kmm": True, "lambda_hakd": 1.0}], num_trials=1, probes=0)
    (said,) = lines(spec, tmp_path, 1)
    assert said.endswith(" kmm True")
