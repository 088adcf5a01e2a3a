"""What becomes of trials, groups, runs of a confirmation and tasks that Ray lost, and what a real Ray tells."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from optuna.trial import TrialState
from ray import exceptions as of_ray
from ray import tune

from explorer.confirm import plan
from explorer.launch import remote, tasks
from explorer.launch.sweep import fit
from explorer.search import deaths, ray_state
from explorer.search.arms import open_arms
from explorer.search.bridge import Bridge
from explorer.search.deaths import Death, Fault, judge
from explorer.search.groups import GroupBridge
from explorer.search.ray_state import Ended, Node, RayState
from explorer.search.tune_errors import Lost
from trainables.errors import DataError, Interrupted, StudyError

sys.path.insert(0, str(Path(__file__).parent))
from ways import ACTOR, NOBODYS, NODES, OWN, STEPS, Changing, Known, died, lost, parametrised, raised, unavailable

# Trials, groups and confirmations


def bridge_over(arm, known, *, max_failures=0):
    return Bridge([arm], grace=1, max_failures=max_failures, state=known)


def killed(bridge, name, error, *, steps=0):
    """One life of the only trial: so many steps, then a death."""
    assert bridge.suggest(name)["directory"].endswith("-00000")
    for step in range(1, steps + 1):
        bridge.report(name, {"step": step, "miou": 0.5})
    bridge.note_death(name, Death(error))
    bridge.on_trial_complete(name, error=True)


@pytest.fixture
def arm(tmp_path, spec):
    return open_arms(spec(num_trials=1, pruner="nop"), tmp_path, data_digest="d")["search"]


@parametrised({name: case for name, case in NODES.items() if not isinstance(case[0], of_ray.WorkerCrashedError)})
def test_a_lost_node_is_never_counted(arm, error, known):
    bridge = bridge_over(arm, known)
    for life in range(3 * deaths.MOST):
        killed(bridge, str(life), Lost(error, ACTOR))
    assert arm.trials()[0].state == TrialState.RUNNING
    assert "crashes" not in arm.trials()[0].user_attrs
    assert (bridge.interrupted, bridge.num_open()) == (None, 1)


@parametrised(NOBODYS)
def test_losses_of_nobodys_fault_interrupt_the_sweep_and_fail_no_trial(arm, clock, error, known):
    bridge = bridge_over(arm, known)
    for life in range(deaths.MOST):
        killed(bridge, str(life), Lost(error, ACTOR), steps=2)
        assert bridge.interrupted is None
    killed(bridge, "last", Lost(error, ACTOR), steps=2)
    assert bridge.interrupted.startswith("trials/search-00000 was lost 6 times at step 2 by no fault of its own (")
    assert bridge.suggest("more") == "FINISHED"
    assert arm.trials()[0].state == TrialState.RUNNING
    assert bridge_over(arm, known).suggest("resumed")["directory"] == "trials/search-00000"


def test_progress_starts_the_count_of_losses_anew(arm, clock):
    bridge = bridge_over(arm, Known())
    for life in range(2 * deaths.MOST):
        killed(bridge, str(life), unavailable(), steps=1 + life // deaths.MOST)
    assert bridge.interrupted is None


@parametrised({name: case for name, case in OWN.items() if not isinstance(case[0], of_ray.WorkerCrashedError)})
def test_what_crashes_every_time_ends_after_max_failures_restarts(arm, clock, error, known):
    bridge = bridge_over(arm, known, max_failures=2)
    for life in range(3):
        assert all(trial.state == TrialState.RUNNING for trial in arm.trials())
        killed(bridge, str(life), Lost(error, ACTOR))
    assert arm.trials()[0].state == TrialState.FAIL
    assert arm.trials()[0].user_attrs["reason"].startswith("crashed 3 times at step 0: ")
    assert bridge.suggest("more") == "FINISHED"


def test_before_a_trial_is_failed_its_node_is_looked_at_again(arm, clock):
    known = Changing(clock, lambda now: Node.LOST if now >= 1 else Node.THERE, Ended.CRASHED)
    killed(bridge_over(arm, known), "a", died())
    assert arm.trials()[0].state == TrialState.RUNNING


@pytest.mark.parametrize("table", [NODES, NOBODYS], ids=["node", "nobody"])
def test_a_group_that_is_lost_by_no_fault_of_its_own_makes_nobody_a_suspect(tmp_path, spec, clock, table):
    study = spec(num_trials=3, pruner="nop", group_size=3)
    for number, (name, (error, known)) in enumerate(table.items()):
        (tmp_path / str(number)).mkdir()
        arm = open_arms(study, tmp_path / str(number), data_digest="d")["search"]
        bridge = GroupBridge([arm], size=3, post=lambda *_: None, grace=1, state=known)
        members = bridge.suggest("h")["members"]
        bridge.note_death("h", Death(Lost(error, ACTOR), frozenset({"n1"})))
        bridge.on_trial_complete("h", error=True)
        again = bridge.suggest("i")["members"]
        assert again == (members[:1] if "OOM" in name else members)


def test_a_group_that_is_lost_again_and_again_interrupts_the_sweep(tmp_path, spec):
    study = spec(num_trials=3, pruner="nop", group_size=3)
    arm = open_arms(study, tmp_path, data_digest="d")["search"]
    bridge = GroupBridge([arm], size=3, post=lambda *_: None, grace=1, state=Known())
    for life in range(deaths.MOST + 1):
        assert len(bridge.suggest(str(life))["members"]) == 3
        bridge.note_death(str(life), Death(unavailable()))
        bridge.on_trial_complete(str(life), error=True)
    assert "was lost 6 times at step 0 by no fault of its own" in bridge.interrupted
    assert {trial.state for trial in arm.trials()} == {TrialState.RUNNING}


def told(arm):
    trial, _ = arm.ask()
    arm.report(trial, 0.5, STEPS)
    arm.tell(trial, TrialState.COMPLETE, miou=0.5)


@pytest.mark.parametrize(("error", "known"), [(unavailable(), Known(Node.LOST)), (lost(), Known())])
def test_a_run_of_a_confirmation_outlives_its_losses(tmp_path, spec, error, known):
    study = spec(num_trials=1)
    arms = open_arms(study, tmp_path, data_digest="d")
    for each in arms.values():
        told(each)
    studies = {role: each.study for role, each in arms.items()}
    asked = plan.request(study, studies, top=1, num_seeds=1)
    confirmed = plan.open_arm(study, studies, asked, top=1, split="val")
    bridge = bridge_over(confirmed, known)
    for life in range(deaths.MOST):
        killed(bridge, str(life), error)
    run = bridge.suggest("last")
    assert run["directory"] == "trials/confirmed-00000"
    bridge.report("last", {"step": STEPS, "miou": 0.5})
    assert confirmed.trials()[0].state == TrialState.COMPLETE


# Tasks: teachers, scores, the size of groups


class Scripted:
    """Stands for `ray`: a task's outcomes come from a list, one each time that it is sent."""

    def __init__(self, outcomes):
        self.outcomes = {name: list(each) for name, each in outcomes.items()}
        self.at_a_time = 0

    def remote(self, **options):
        assert options == {"num_cpus": 2, "num_gpus": 0.5, "max_retries": 0}
        return lambda function: SimpleNamespace(remote=lambda name: object.__new__(type(name, (), {})))

    def wait(self, waiting, num_returns=1, timeout=None):
        self.at_a_time = max(self.at_a_time, len(waiting))
        return [waiting[-1]], waiting[:-1]

    def get(self, reference):
        outcome = self.outcomes[type(reference).__name__].pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


@pytest.fixture
def run_tasks(monkeypatch, clock):
    def run(outcomes, *, known=None, max_failures=1, slots=2):
        scripted = Scripted(outcomes)
        monkeypatch.setattr(tasks, "ray", scripted)
        calls = ((name, {"name": name}) for name in outcomes)
        options = {"resources": {"cpu": 2, "gpu": 0.5}, "slots": slots, "max_failures": max_failures}
        found = list(tasks.results(print, calls, **options, what="teacher", state=known or Known()))
        assert not any(scripted.outcomes.values())
        assert scripted.at_a_time == min(slots, len(outcomes))
        return found

    return run


def test_tasks_give_what_the_function_gives_as_they_finish(run_tasks):
    assert run_tasks({"a": [1], "b": [2], "c": [3]}) == [("b", 2), ("c", 3), ("a", 1)]
    assert run_tasks({"a": [1], "b": [2], "c": [3]}, slots=1) == [("a", 1), ("b", 2), ("c", 3)]


def test_a_task_whose_worker_crashes_is_tried_again_max_failures_times(run_tasks):
    crash = of_ray.WorkerCrashedError()
    assert run_tasks({"a": [crash, 1], "b": [2]}) == [("b", 2), ("a", 1)]
    with pytest.raises(StudyError, match=r"^The process of teacher a died 2 times \(.*\)\. Give it more"):
        run_tasks({"a": [crash, crash, 1]})


@parametrised({name: case for name, case in NODES.items() if not isinstance(case[0], of_ray.RayActorError)})
def test_a_task_that_is_lost_with_a_node_is_tried_again_without_end(run_tasks, error, known):
    assert run_tasks({"a": [*[error] * 20, 1]}, known=known, max_failures=0) == [("a", 1)]


@pytest.mark.parametrize("wrapped", [False, True], ids=["the task's own loss", "a loss that it met"])
def test_a_task_that_is_lost_again_and_again_by_nobodys_fault_interrupts(run_tasks, wrapped):
    error = raised(lost()).as_instanceof_cause() if wrapped else lost(of_ray.OwnerDiedError)
    assert run_tasks({"a": [*[error] * deaths.MOST, 1]}, max_failures=0) == [("a", 1)]
    with pytest.raises(Interrupted, match=r"^The process of teacher a died 6 times .* then resume\.$"):
        run_tasks({"a": [error] * (deaths.MOST + 1)})


@pytest.mark.parametrize("error", [DataError("r0.png is damaged."), ZeroDivisionError("division by zero")])
def test_what_a_task_raises_is_raised_at_once(run_tasks, error):
    with pytest.raises(type(error)):
        run_tasks({"a": [raised(error).as_instanceof_cause()]}, max_failures=3)


def dies_once(mark):
    if mark and not mark.exists():
        mark.touch()
        os._exit(1)
    return "done"


def test_a_real_task_that_is_killed_is_done_the_second_time(ray_local, tmp_path):
    options = {"resources": {"cpu": 1, "gpu": 0}, "slots": 2, "max_failures": 1, "what": "teacher"}
    calls = [("dies", {"mark": tmp_path / "mark"}), ("lives", {"mark": None})]
    assert dict(tasks.results(dies_once, calls, **options)) == {"dies": "done", "lives": "done"}
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("error", [of_ray.WorkerCrashedError(), of_ray.NodeDiedError("gone"), lost(), died()])
def test_a_sweep_on_a_cluster_whose_process_is_lost_says_so_in_a_sentence(monkeypatch, error):
    monkeypatch.setattr(remote, "ray", Scripted({"sweep": [error]}))
    silent = SimpleNamespace(qsize=lambda: 0, get_nowait_batch=lambda _: [])
    with pytest.raises(Interrupted, match=r"^The sweep's process on the cluster died \(.+\)\. Resume the study\.$"):
        remote._listen(object.__new__(type("sweep", (), {})), silent, None)


# The real Ray


@ray.remote(num_cpus=1)
class Worker:
    def die(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def ready(self):
        return ray.get_runtime_context().get_node_id()


def started():
    worker = Worker.remote()
    return worker, worker._actor_id.hex(), ray.get(worker.ready.remote())


def ask_for_ever(worker):
    """It may answer once more before a kill has come."""
    while True:
        ray.get(worker.ready.remote())


def soon(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ray_tells_a_crash_from_a_kill_and_an_actor_that_was_let_go(ray_local):
    state = RayState()
    crashed, actor, node = started()
    assert (state.place(actor), state.node(node), state.ended(actor)) == (node, Node.THERE, Ended.UNKNOWN)
    with pytest.raises(of_ray.ActorDiedError) as caught:
        ray.get(crashed.die.remote())
    assert state.ended(actor) is Ended.CRASHED
    assert judge(Death(caught.value), state) is Fault.TRIAL
    unseen = of_ray.ActorUnavailableError("RpcError", bytes.fromhex(actor))
    assert judge(Death(unseen), state) is Fault.TRIAL  # Ray said so only to those who asked later

    killed, actor, _ = started()
    ray.kill(killed)
    with pytest.raises(of_ray.ActorDiedError) as caught:
        ask_for_ever(killed)
    assert judge(Death(caught.value), state) is Fault.NOBODY

    left, actor, _ = started()
    del left
    soon(lambda: state.ended(actor) is Ended.KILLED)
    assert judge(Death(of_ray.ActorUnavailableError("RpcError", bytes.fromhex(actor))), state) is Fault.NOBODY


def test_ray_tells_whether_an_actor_had_its_node_for_itself(ray_local):
    state = RayState()
    alone, actor, _ = started()
    soon(lambda: not state.shared(actor))  # actors of other tests have just ended
    _beside, other, _ = started()
    assert state.shared(actor)
    assert state.shared(other)
    assert alone is not None


def test_a_node_that_is_dead_draining_or_unknown_is_lost_and_one_that_refuses_is_silent(ray_local, monkeypatch):
    (entry,) = ray.nodes()
    node = entry["NodeID"]
    assert RayState().nodes() == {node}
    assert RayState().node("00" * 28) is Node.LOST
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        refusing = entry | {"NodeManagerAddress": "127.0.0.1", "NodeManagerPort": free.getsockname()[1]}
        monkeypatch.setattr(ray, "nodes", lambda: [refusing])
        assert RayState().node(node) is Node.SILENT
    monkeypatch.setattr(ray, "nodes", lambda: [entry | {"Alive": False}])
    assert RayState().node(node) is Node.LOST
    monkeypatch.setattr(ray, "nodes", lambda: [entry])
    monkeypatch.setattr(ray_state.of_ray.state, "get_draining_nodes", lambda: {node: 0})
    assert RayState().node(node) is Node.LOST


class Unreadable(Exception):
    """Cannot be unpickled outside the process that raised it."""

    def __reduce__(self):
        return _only_in, (os.getpid(),)


def _only_in(pid):
    if os.getpid() != pid:
        raise ImportError("not here")
    return Unreadable()


def test_an_error_that_tune_would_fall_over_ends_its_trial_and_not_the_sweep(ray_local, tmp_path, spec):
    def trainable(params):
        if params["directory"] == "trials/search-00001":
            raise Unreadable
        for step in range(1, STEPS + 1):
            tune.report({"step": step, "miou": 0.5})

    arms = open_arms(spec(num_trials=3, pruner="nop"), tmp_path, data_digest="d")
    bridge = Bridge(arms.values(), grace=1)
    fit(bridge, trainable, tmp_path, {"cpu": 1}, 2)
    assert [trial.state.name for trial in arms["search"].trials()] == ["COMPLETE", "FAIL", "COMPLETE"]
