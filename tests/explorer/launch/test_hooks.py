"""A hook of the user's own is told once of each report and end, and may raise."""

from __future__ import annotations

import json

import pytest

from explorer.launch.hooks import FILE
from explorer.launch.loggers import logs, reach
from explorer.search.arms import open_arms
from explorer.search.bridge import Bridge
from trainables.errors import StudyError

CODE = """
import json, pathlib

class Whole:
    def _write(self, *said):
        with open("told.jsonl", "a") as file:
            file.write(json.dumps(said) + "\\n")
    def on_report(self, trial, step, metrics):
        self._write("report", trial["name"], step, metrics["miou"])
    def on_trial_end(self, trial, state, reason):
        self._write("end", trial["name"], state, trial["lambda_kd"] > 0)
    def on_sweep_end(self, directory):
        self._write("sweep", pathlib.Path(directory).name)

class Raising:
    def on_report(self, trial, step, metrics):
        raise RuntimeError(f"no route to postgresql://me:hunter2@host/db\\nmore")

class Misspelt:
    def on_trial_ends(self, trial, state, reason): ...

class Nothing: ...

class Asking:
    def __init__(self, what): ...
    def on_report(self, trial, step, metrics): ...
"""


@pytest.fixture
def swept(spec, tmp_path, monkeypatch):
    """Makes a study with a hook: (spec, arms)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_hooks.py").write_text(CODE)
    (tmp_path / "study").mkdir()

    def make(hook, **values):
        study = spec(**{"num_trials": 1, "baseline_trials": 1, "owner": "us", "pruner": "nop", "hook": hook, **values})
        return study, {"search": open_arms(study, tmp_path / "study", data_digest="d")["search"]}

    return make


def run(study, arms, directory, steps, *, say=print):
    """One driver's life: the trial reports these steps."""
    bridge = Bridge(arms.values(), grace=1)
    with logs(study, arms, directory, say=say) as (callback,):
        bridge.suggest("a")
        for step in steps:
            bridge.report("a", {"step": step, "miou": step / 10})
            callback.sync()


def told(tmp_path):
    return [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]


def test_it_is_told_once_across_drivers_and_of_the_end_at_the_end(swept, tmp_path):
    study, arms = swept("my_hooks:Whole")
    run(study, arms, tmp_path / "study", (1, 2))
    assert told(tmp_path) == [["report", "search-00000", 1, 0.1], ["report", "search-00000", 2, 0.2]]
    run(study, arms, tmp_path / "study", range(1, 10))
    for _ in range(2):
        with logs(study, arms, tmp_path / "study", say=print):
            pass
    expected = [["report", "search-00000", step, step / 10] for step in range(1, 10)]
    assert told(tmp_path) == [*expected, ["end", "search-00000", "COMPLETE", True], ["sweep", "study"]]


def test_a_torn_line_of_its_file_is_passed_over(swept, tmp_path):
    study, arms = swept("my_hooks:Whole")
    run(study, arms, tmp_path / "study", (1, 2))
    path = tmp_path / "study" / FILE
    path.write_text(path.read_text()[:-8])
    run(study, arms, tmp_path / "study", range(1, 10))
    steps = [line[2] for line in told(tmp_path) if line[0] == "report"]
    assert steps == [1, 2, 2, 3, 4, 5, 6, 7, 8, 9]
    assert json.loads(path.read_text().splitlines()[-1]) == {"of": "sweep", "step": None}


def test_what_it_raises_is_said_once_kept_without_a_password_and_harms_nothing(swept, tmp_path):
    study, arms = swept("my_hooks:Raising")
    said = []
    run(study, arms, tmp_path / "study", range(1, 10), say=said.append)
    sentence = "my_hooks:Raising.on_report raised RuntimeError: no route to postgresql://me:***@host/db."
    assert said == [f"{sentence} The sweep goes on; {FILE} keeps this."]
    assert (tmp_path / "study" / FILE).read_text().count(sentence) == 1
    assert not arms["search"].num_open()


@pytest.mark.parametrize(
    ("hook", "sentence"),
    [
        ("my_hooks:Missing", "Unknown name in my_hooks"),
        ("my_hooks:Misspelt", "Unknown method of the hook 'my_hooks:Misspelt' 'on_trial_ends'. Nearest: on_trial_end."),
        ("my_hooks:Nothing", "has none of on_report, on_trial_end, on_sweep_end"),
        ("my_hooks:Asking", "raised TypeError when it was made"),
        ("my_hooks:json", "must be a class"),
    ],
)
def test_what_is_no_hook_is_refused_before_the_sweep_begins(swept, hook, sentence):
    with pytest.raises(StudyError, match=sentence):
        reach(swept(hook)[0])
