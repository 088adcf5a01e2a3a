"""What ends up in W&B's files, read back from them, offline: a run a trial, its end told, no step twice."""

from __future__ import annotations

import json
import struct
import sys
import time
from types import SimpleNamespace

import pytest

from explorer.launch.loggers import logs, reach
from explorer.search.arms import open_arms
from explorer.search.bridge import Bridge
from explorer.show import wandb_summary
from trainables.errors import MissingExtra, StudyError

pytest.importorskip("wandb")
STEPS = 9
BLOCK = 32768


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.fixture
def swept(spec, tmp_path):
    """Makes a study that logs to W&B and its bridge: (spec, arms, bridge)."""

    def make(**values):
        given = {"num_trials": 3, "owner": "us", "wandb": "team/p", "pruner": "threshold", **values}
        study = spec(**given, pruner_options={"lower": 0.2})
        arms = {"search": open_arms(study, tmp_path, data_digest="d")["search"]}
        return study, arms, Bridge(arms.values(), grace=1)

    return make


def tell(bridge, callback, trial_id, params, step, miou):
    class Hosted:
        config = params

    result = {"step": step, "miou": miou, "lr": 0.01, "terms": {"task": 2.0}}
    bridge.report(trial_id, result)
    callback.on_trial_result(0, [], Hosted(), result)


def records(path):
    """W&B's file: after 7 bytes, LevelDB's log format of protocol buffers."""
    from wandb.proto import wandb_internal_pb2

    data, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if (left := BLOCK - place % BLOCK) < 7:
            place += left
            continue
        size, kind = struct.unpack_from("<HB", data, place + 4)
        whole += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # the whole of a record, or its last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def read(folder):
    """{run: what its files say in the order in which they were made}, of a study's folder. W&B's process writes them
    after a run's `finish` has returned.
    """
    found = {}
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        until = time.monotonic() + 60
        while not any(record.HasField("exit") for record in records(path)) and time.monotonic() < until:
            time.sleep(0.02)
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                name = record.run.run_id
                run = found.setdefault(name, {"steps": {}, "summary": {}, "config": {}, "exits": []})
                run |= {"tags": [*record.run.tags], "project": (record.run.entity, record.run.project)}
                run["group"] = record.run.run_group
                run["config"] |= {one.key: json.loads(one.value_json) for one in record.run.config.update}
            elif kind == "history":
                row = {(one.key or "/".join(one.nested_key)): json.loads(one.value_json) for one in record.history.item}
                step = row.get("_step", record.history.step.num)
                assert step not in run["steps"]
                run["steps"][step] = row
            elif kind == "summary":
                changed = record.summary.update
                run["summary"] |= {(one.key or "/".join(one.nested_key)): json.loads(one.value_json) for one in changed}
            elif kind == "exit":
                run["exits"].append(record.exit.exit_code)
            elif kind == "preempting":
                run["preempted"] = True
    return found


def test_each_trial_has_a_run_with_its_params_reports_and_end(swept, tmp_path):
    study, arms, bridge = swept()
    with logs(study, arms, tmp_path, say=print) as (callback,):
        params = [bridge.suggest(name) for name in "abc"]
        for step in range(1, STEPS + 1):
            tell(bridge, callback, "a", params[0], step, 0.2 + step / 100)
        tell(bridge, callback, "b", params[1], 1, 0.1)
        bridge.report("c", {"step": 0, "miou": float("nan"), "failed": "r0.png is damaged."})
    runs = read(tmp_path)
    assert sorted(runs) == ["us-search-00000", "us-search-00001", "us-search-00002"]
    whole, pruned, failed = (runs[name] for name in sorted(runs))
    assert {step: row["miou"] for step, row in whole["steps"].items()} == {
        step: pytest.approx(0.2 + step / 100) for step in range(1, STEPS + 1)
    }
    assert whole["steps"][STEPS]["terms/task"] == 2.0
    assert whole["project"] == ("team", "p")
    assert whole["group"] == study.name
    assert whole["config"]["lambda_kd"] == arms["search"].study.get_trials()[0].params["lambda_kd"]
    assert [run["tags"] for run in (whole, pruned, failed)] == [
        ["search", "complete"], ["search", "pruned"], ["search", "failed"],
    ]  # fmt: skip
    assert [run["exits"] for run in (whole, pruned, failed)] == [[0], [0], [1]]
    assert [run["summary"]["state"] for run in (whole, pruned, failed)] == ["COMPLETE", "PRUNED", "FAIL"]
    assert failed["summary"]["reason"] == "r0.png is damaged."
    assert pruned["summary"]["reason"].startswith("Stopped by threshold at step 1")


def test_a_resumed_trial_goes_on_in_its_run_without_a_step_twice(swept, tmp_path):
    study, arms, bridge = swept(num_trials=1)
    with logs(study, arms, tmp_path, say=print) as (callback,):
        params = bridge.suggest("a")
        for step in (1, 2, 3):
            tell(bridge, callback, "a", params, step, 0.3)
    assert read(tmp_path)["us-search-00000"]["preempted"]

    again = Bridge(arms.values(), grace=1)
    with logs(study, arms, tmp_path, say=print) as (callback,):
        params = again.suggest("b")
        for step in range(1, STEPS + 1):  # it reports its history again
            tell(again, callback, "b", params, step, 0.3)
    (run,) = read(tmp_path).values()
    assert sorted(run["steps"]) == [*range(1, STEPS + 1)]
    assert run["exits"] == [1, 0]
    assert run["tags"] == ["search", "complete"]


def test_switched_on_late_it_catches_up_once(swept, tmp_path):
    study, arms, bridge = swept(num_trials=1)
    bridge.suggest("a")
    for step in range(1, STEPS + 1):
        bridge.report("a", {"step": step, "miou": 0.5})
    for _ in range(2):
        with logs(study, arms, tmp_path, say=print):
            pass
    (run,) = read(tmp_path).values()
    assert sorted(run["steps"]) == [*range(1, STEPS + 1)]
    assert run["exits"] == [0]


def test_the_end_of_a_sweep_is_sent_once_with_summary_best_and_figures(swept, tmp_path, monkeypatch):
    study, _, bridge = swept(num_trials=2, storage=None)
    study.save(tmp_path)
    for name, miou in (("a", 0.5), ("b", 0.7)):
        bridge.suggest(name)
        for step in range(1, STEPS + 1):
            bridge.report(name, {"step": step, "miou": miou})
    monkeypatch.setattr(wandb_summary, "FIGURES", {"history": "", "curves": ""})
    said = []
    for _ in range(2):
        wandb_summary.send(tmp_path, "team/p", say=said.append)
    assert said == []
    run = read(tmp_path)["us-sweep"]
    assert run["exits"] == [0]
    assert (run["summary"]["best/trial"], run["summary"]["best/miou"]) == (1, 0.7)
    assert run["config"]["num_trials"] == 2
    (files,) = tmp_path.glob("wandb/offline-run-*-us-sweep/files")
    drawn = sorted(path.name.partition("_")[0] for path in files.rglob("*.plotly.json"))
    assert drawn == ["curves", "history"]


def test_a_summary_that_cannot_be_sent_is_said_and_harms_nothing(tmp_path):
    said = []
    wandb_summary.send(tmp_path, "p", say=said.append)
    assert len(said) == 1
    assert said[0].startswith("W&B has no summary of the sweep: ")


@pytest.mark.parametrize("project", ["", "/", "a/b/c"])
def test_a_project_is_named_alone_or_after_its_entity(spec, project):
    with pytest.raises(StudyError, match="must be PROJECT or ENTITY/PROJECT"):
        reach(spec(wandb=project))


def test_without_a_login_the_sweep_is_refused_before_it_begins(spec, monkeypatch):
    """W&B's own settings are read once a process, and here they say offline."""
    import wandb

    def login():
        raise wandb.errors.UsageError("No API key configured. Use `wandb login` to log in.")

    monkeypatch.setattr(wandb, "setup", lambda: SimpleNamespace(settings=SimpleNamespace(mode="online")))
    monkeypatch.setattr(wandb, "login", login)
    with pytest.raises(StudyError, match=r"^W&B takes no runs from here: No API key configured.*WANDB_MODE=offline"):
        reach(spec(wandb="p"))


def test_wandb_that_is_not_installed_names_the_extra(spec, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtra, match=r"^wandb is not installed. `pip install 'heteroakd-explorer\[wandb\]'`\.$"):
        reach(spec(wandb="p"))
