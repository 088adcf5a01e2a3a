"""What ends up in MLflow and TensorBoard, read back from their own files: a run a trial, however it was trained."""

from __future__ import annotations

import sys

import pytest
from ray import tune

from explorer.launch import loggers_backends
from explorer.launch.loggers import TrialLogs, absolute, logs, reach
from explorer.launch.loggers_backends import OWNER, TensorboardLog, events
from explorer.launch.sweep import fit, open_bridge
from explorer.search.arms import open_arms
from explorer.search.bridge import Bridge
from explorer.search.groups import GroupBridge
from explorer.search.mailbox import Mailbox
from trainables.errors import MissingExtra, StudyError

STEPS = 9
LEARNT = {step: 0.2 + step / 100 for step in range(1, STEPS + 1)}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An MLflow database whose tables exist: making them takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "made.db"
    with loggers_backends.quiet():
        loggers_backends.reach_mlflow(f"sqlite:///{path}")
    return path


@pytest.fixture
def mlflow(server, tmp_path):
    """An empty MLflow store: (URI, reads its runs as {name: run}, reads a metric as {step: value})."""
    from mlflow import MlflowClient

    path = tmp_path / "mlflow.db"
    path.write_bytes(server.read_bytes())
    uri = f"sqlite:///{path}"

    def runs(experiment="study"):
        with loggers_backends.quiet():
            client = MlflowClient(uri)
            found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
        by_name = {run.info.run_name: run for run in found}
        assert len(by_name) == len(found)
        return by_name

    def metric(run, name):
        with loggers_backends.quiet():
            found = MlflowClient(uri).get_metric_history(run.info.run_id, name)
        assert len({point.step for point in found}) == len(found)
        return {point.step: point.value for point in found}

    return uri, runs, metric


@pytest.fixture
def swept(spec, tmp_path):
    """Makes a study with logs, its bridge and the callback: (spec, arm, bridge, callback opener)."""

    def make(**values):
        study = spec(**{"num_trials": 3, "baseline_trials": 1, "owner": "us", "pruner": "threshold", **values,
                        "pruner_options": {"lower": 0.2}})  # fmt: skip
        arms = open_arms(study, tmp_path, data_digest="d")
        return study, {"search": arms["search"]}, Bridge([arms["search"]], grace=1)

    return make


class Hosted:
    """A Tune trial, as the callbacks are given it."""

    def __init__(self, params):
        self.config = params


def tell(bridge, callback, trial_id, params, step, miou, **more):
    """A result as Tune hands it on: first to the scheduler, then to the callbacks."""
    result = {"step": step, "miou": miou, "lr": 0.01, "terms": {"task": 2.0}, **more}
    bridge.report(trial_id, result)
    callback.on_trial_result(0, [], Hosted(params), result)


def scalars(folder):
    """{tag: {step: value}} and the text of `state`."""
    found, state = {}, None
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                steps = found.setdefault(value.tag, {})
                assert event.step not in steps
                steps[event.step] = pytest.approx(value.simple_value)
            elif value.tag.startswith("state"):
                state = value.tensor.string_val[0].decode()
    return found, state


def three_ends(study, arms, bridge, tmp_path):
    """Trial 0 completes, 1 is pruned, 2 fails before it ever reports."""
    with logs(study, arms, tmp_path, say=print) as (callback,):
        params = [bridge.suggest(name) for name in "abc"]
        for step in range(1, STEPS + 1):
            tell(bridge, callback, "a", params[0], step, LEARNT[step])
        tell(bridge, callback, "b", params[1], 1, 0.1)
        bridge.report("c", {"step": 0, "miou": float("nan"), "failed": "r0.png is damaged."})


def test_mlflow_has_a_run_a_trial_with_dimensions_reports_and_end(swept, mlflow, tmp_path):
    uri, runs, metric = mlflow
    study, arms, bridge = swept(mlflow=uri)
    three_ends(study, arms, bridge, tmp_path)
    found = runs()
    assert sorted(found) == ["search-00000", "search-00001", "search-00002"]
    assert [found[name].info.status for name in sorted(found)] == ["FINISHED", "KILLED", "FAILED"]
    assert [found[name].data.tags["state"] for name in sorted(found)] == ["COMPLETE", "PRUNED", "FAIL"]
    assert found["search-00002"].data.tags["reason"] == "r0.png is damaged."
    trial = arms["search"].study.get_trials()[0]
    params = found["search-00000"].data.params
    assert float(params["lambda_kd"]) == trial.params["lambda_kd"]
    assert params["student"] == trial.user_attrs["student"]
    assert metric(found["search-00000"], "miou") == LEARNT
    assert metric(found["search-00000"], "terms/task") == dict.fromkeys(range(1, STEPS + 1), 2.0)
    assert metric(found["search-00001"], "miou") == {1: 0.1}


def test_tensorboard_has_a_folder_a_trial_with_reports_and_end(swept, tmp_path):
    study, arms, bridge = swept(tensorboard=True)
    three_ends(study, arms, bridge, tmp_path)
    found, state = scalars(tmp_path / "tensorboard/search-00000")
    assert found["ray/tune/miou"] == LEARNT
    assert found["ray/tune/terms/task"][STEPS] == 2.0
    assert state == "COMPLETE"
    pruned = scalars(tmp_path / "tensorboard/search-00001")[1]
    assert pruned.startswith("PRUNED Stopped by threshold at step 1: its 10.00 %")
    assert scalars(tmp_path / "tensorboard/search-00002") == ({}, "FAIL r0.png is damaged.")


def test_a_resumed_trial_goes_on_in_its_run_without_a_step_twice(swept, mlflow, tmp_path):
    uri, runs, metric = mlflow
    study, arms, bridge = swept(mlflow=uri, tensorboard=True, num_trials=1)
    with logs(study, arms, tmp_path, say=print) as (callback,):
        params = bridge.suggest("a")
        for step in (1, 2, 3):
            tell(bridge, callback, "a", params, step, 0.3)
    begun = runs()["search-00000"]
    assert begun.info.status == "RUNNING"

    again = Bridge(arms.values(), grace=1)
    with logs(study, arms, tmp_path, say=print) as (callback,):
        params = again.suggest("b")
        for step in range(1, STEPS + 1):  # it reports its history again
            tell(again, callback, "b", params, step, 0.3)
            callback.sync()
    (ended,) = runs().values()
    assert (ended.info.run_id, ended.info.status) == (begun.info.run_id, "FINISHED")
    assert set(metric(ended, "lr")) == set(range(1, STEPS + 1))
    assert set(scalars(tmp_path / "tensorboard/search-00000")[0]["ray/tune/miou"]) == set(range(1, STEPS + 1))


def test_logging_that_is_switched_on_late_catches_up_once(swept, mlflow, tmp_path):
    uri, runs, metric = mlflow
    study, arms, bridge = swept(mlflow=uri, num_trials=1)
    bridge.suggest("a")
    for step in range(1, STEPS + 1):
        bridge.report("a", {"step": step, "miou": LEARNT[step]})
    for _ in range(2):
        with logs(study, arms, tmp_path, say=print):
            pass
    (run,) = runs().values()
    assert metric(run, "miou") == LEARNT
    assert (run.info.status, run.data.tags[OWNER]) == ("FINISHED", "us")


def test_members_of_a_group_have_a_run_each(spec, mlflow, tmp_path):
    uri, runs, metric = mlflow
    study = spec(num_trials=3, group_size=3, pruner="nop", owner="us", mlflow=uri)
    arm = open_arms(study, tmp_path, data_digest="d")["search"]
    bridge = GroupBridge([arm], size=3, post=lambda *_: None, grace=1)
    with logs(study, {"search": arm}, tmp_path, say=print) as (callback,):
        params = bridge.suggest("h")
        for place, member in enumerate(params["members"]):
            tell(bridge, callback, "h", params, STEPS, place / 10, member=member["directory"], number=place)
    found = runs()
    assert [metric(found[f"search-{place:05d}"], "miou") for place in range(3)] == [{STEPS: n / 10} for n in range(3)]


def test_a_log_that_fails_is_said_once_and_costs_the_sweep_nothing(swept, tmp_path):
    _, arms, bridge = swept(num_trials=1)

    class Broken(TensorboardLog):
        def begin(self, trial):
            raise RuntimeError("no route to postgresql://me:hunter2@host/db\nmore")

    said = []
    callback = TrialLogs(arms, [Broken(), TensorboardLog()], folder=tmp_path / "tensorboard", say=said.append)
    params = bridge.suggest("a")
    for step in range(1, STEPS + 1):
        tell(bridge, callback, "a", params, step, 0.5)
        callback.sync()
    callback.close()
    assert len(said) == 1
    assert "TensorBoard takes no more: no route to postgresql://me:***@host/db" in said[0]
    assert scalars(tmp_path / "tensorboard/search-00000")[1] == "COMPLETE"


def test_a_torn_event_file_is_read_to_its_tear(swept, tmp_path):
    study, arms, bridge = swept(tensorboard=True, num_trials=1)
    with logs(study, arms, tmp_path, say=print) as (callback,):
        params = bridge.suggest("a")
        tell(bridge, callback, "a", params, 1, 0.5)
        callback.sync()
        tell(bridge, callback, "a", params, 2, 0.5)
    (path,) = (tmp_path / "tensorboard/search-00000").glob("events*")
    path.write_bytes(path.read_bytes()[:-5])
    assert {event.step for event in events(path.parent) if event.summary.value} >= {1}


def test_mlflow_that_is_not_installed_names_the_extra(spec, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(
        MissingExtra, match=r"^mlflow is not installed. `pip install 'heteroakd-explorer\[mlflow\]'`\.$"
    ):
        reach(spec(mlflow="http://localhost:1"))


def test_a_server_that_is_not_there_is_said_without_its_password(spec, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StudyError, match="MLflow cannot be reached") as error:
        reach(spec(mlflow="http://me:hunter2@127.0.0.1:9"))
    assert "hunter2" not in str(error.value)
    assert "hunter2" not in repr(spec(mlflow="http://me:hunter2@127.0.0.1:9"))


def test_a_uri_may_come_from_the_environment(spec, mlflow, monkeypatch):
    with pytest.raises(StudyError, match="TRACKING is not set"):
        reach(spec(mlflow="env:TRACKING"))
    monkeypatch.setenv("TRACKING", mlflow[0])
    reach(spec(mlflow="env:TRACKING"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("sqlite:///m.db", "sqlite:///{here}/m.db"),
        ("sqlite:////a/m.db", "sqlite:////a/m.db"),
        ("file:runs", "file://{here}/runs"),
        ("file:///a/runs", "file:///a/runs"),
        ("runs", "file://{here}/runs"),
        ("http://host:5000", "http://host:5000"),
        ("env:NAME", "env:NAME"),
        ("databricks", "databricks"),
    ],
)
def test_files_are_named_by_their_whole_path(given, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute(given) == expected.format(here=tmp_path)


@pytest.mark.parametrize("name", ["what? #1", "50%20 {x}"])
def test_a_database_of_mlflow_in_a_folder_of_any_name_takes_runs(server, tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "m.db").write_bytes(server.read_bytes())
    monkeypatch.chdir(tmp_path / name)
    uri = absolute("sqlite:///m.db")
    with loggers_backends.quiet():
        log = loggers_backends.MlflowLog(uri, experiment="e", owner="us")
    assert list(log._runs()) == []
    assert [path.name for path in tmp_path.rglob("*.db")] == ["m.db"]


def trains(params):
    for step in range(1, STEPS + 1):
        tune.report({"step": step, "miou": step / 10, "lr": 0.1, "terms": {"task": 1.0}})


def grouped(params, *, answers):
    host, members = str(tune.get_context().get_trial_id()), [member["directory"] for member in params["members"]]
    number = 0
    while members:
        name, number = members.pop(), number + 1
        tune.report({"member": name, "number": number, "step": STEPS, "miou": 0.5, "occupied_s": 1.0})
        members += [member["directory"] for member in answers.take(host, number)["join"]]


@pytest.mark.parametrize("size", [1, 2])
def test_under_ray_tune_every_trial_is_logged_to_its_end(ray_local, spec, tmp_path, size):
    study = spec(num_trials=3, pruner="nop", owner="us", tensorboard=True, group_size=size)
    arms = open_arms(study, tmp_path, data_digest="d")
    mailbox = Mailbox() if size > 1 else None
    bridge = open_bridge(study, arms, root=str(tmp_path), post=mailbox.put if mailbox else None)
    trainable = tune.with_parameters(grouped, answers=mailbox) if mailbox else trains
    with logs(study, arms, tmp_path, say=print) as callbacks:
        fit(bridge, trainable, tmp_path, {"cpu": 1}, 2, None, callbacks)
    folders = sorted((tmp_path / "tensorboard").iterdir())
    assert [folder.name for folder in folders] == ["baseline-00000", *(f"search-{n:05d}" for n in range(3))]
    for folder in folders:
        found, state = scalars(folder)
        assert state == "COMPLETE"
        assert set(found["ray/tune/miou"]) == ({STEPS} if mailbox else set(range(1, STEPS + 1)))
        assert mailbox or found["ray/tune/terms/task"][STEPS] == 1.0
