"""The door itself: what it names, that it costs nothing to import, and that the command line goes through it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import explorer
from explorer.cli import app
from explorer.study import StudySpec
from trainables.config import TrialConfig

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "ray", "optuna", "pandas", "plotly", "numpy", "pydantic", "yaml", "rich", "PIL", "timm")


def loaded_after(line):
    script = f"import sys\n{line}\nprint([name for name in {HEAVY} if name in sys.modules])"
    command = [sys.executable, "-W", "error", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_importing_it_loads_nothing_and_looking_around_neither():
    assert loaded_after("import explorer; dir(explorer); hasattr(explorer, 'nonsense')") == "[]"


def test_a_study_can_be_held_without_ray_or_a_network():
    found = loaded_after(
        "import explorer; explorer.Study('x'), explorer.Bundle('y'), explorer.sweep, explorer.StudyError"
    )
    assert not {"torch", "ray", "optuna", "pandas", "plotly", "numpy"} & set(ast.literal_eval(found))


def test_every_name_is_there_and_said_to_type_checkers_too():
    for name in explorer.__all__:
        assert getattr(explorer, name).__name__ == name
    tree = ast.parse((ROOT / "explorer/__init__.py").read_text())
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = [alias.name for node in checked.body for alias in node.names]
    assert sorted(imported) == sorted(explorer.__all__) == sorted(explorer._HOME)
    assert set(explorer.__all__) <= set(dir(explorer))


def test_no_name_of_the_door_is_a_wings_which_python_would_put_in_its_place():
    wings = {path.stem for path in (ROOT / "explorer").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not wings & set(explorer.__all__)


def test_another_name_is_no_attribute():
    with pytest.raises(AttributeError, match="has no attribute 'sweeep'"):
        explorer.sweeep  # noqa: B018


def test_every_public_thing_says_what_it_does():
    for name in explorer.__all__:
        assert getattr(explorer, name).__doc__ or issubclass(getattr(explorer, name), explorer.HeteroakdError)
    for kind in (explorer.Study, explorer.Bundle):
        for name, member in vars(kind).items():
            assert name.startswith("_") or member.__doc__, name


def test_no_field_of_a_study_is_one_of_a_trial_so_that_one_name_has_one_meaning():
    assert not StudySpec.model_fields.keys() & TrialConfig.model_fields.keys()


@pytest.fixture
def heteroakd(monkeypatch, tmp_path):
    """Run the command over a door that answers with `answer` and does nothing: what it was asked."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, function, answer, code=0):
        asked = []
        monkeypatch.setattr(explorer, function, lambda *given, **options: asked.append((given, options)) or answer)
        monkeypatch.setattr(sys, "argv", ["heteroakd", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            app.main()
        assert end.value.code == code
        ((given, options),) = asked
        return given, {name: value for name, value in options.items() if name not in ("console", "say")}

    return run


class Left:
    """A study with open trials."""

    def __init__(self, trials=0, runs=0):
        self.given, self.num_open, self.num_open_runs = Path("there"), trials, runs


def test_the_options_of_a_sweep_are_its_fields_by_name(heteroakd):
    options = "--preset lambdas --data earth --trials 3 --seeds 0,1 --cpus 2 --group 4 --time-budget 9 --set lr=0.1"
    given, found = heteroakd("sweep", *options.split(), "--stop-when", "0.2", function="sweep", answer=Left())
    assert given == ({}, None)
    assert found == {
        "address": None,
        "trust_storage": False,
        "force": False,
        "preset": "lambdas",
        "data": "earth",
        "num_trials": 3,
        "seeds": [0, 1],
        "cpus_per_trial": 2.0,
        "group_size": 4,
        "time_budget_s": 9.0,
        "stop_when": 0.2,
        "set": {"lr": 0.1},
    }


@pytest.mark.parametrize(("left", "code"), [(Left(), 0), (Left(trials=2), 130), (Left(runs=1), 130)])
def test_a_study_that_is_left_open_exits_as_ctrl_c_does(heteroakd, capsys, left, code):
    heteroakd("resume", "there", function="resume", answer=left, code=code)
    assert capsys.readouterr().out == "study: there\n"


def test_a_dry_run_is_no_sweep(heteroakd):
    given, found = heteroakd("sweep", "spec.yaml", "--dry-run", function="dry_run", answer=None)
    assert (given, found) == ((Path("spec.yaml"),), {"set": {}})


def test_a_job_is_handed_over_with_the_code_that_it_ends_with(heteroakd):
    options = ("--address", "http://h:1", "--out", "/nfs/s", "--follow")
    given, found = heteroakd("submit", "spec.yaml", *options, function="submit", answer=3, code=3)
    assert given == (Path("spec.yaml"), Path("/nfs/s"))
    assert found == {
        "address": "http://h:1",
        "runtime_env": None,
        "resume": False,
        "follow": True,
        "trust_storage": False,
        "force": False,
    }
