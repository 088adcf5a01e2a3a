"""Whose fault a death is, for every way that Ray has of losing an actor or a task, with Ray's own classes."""

from __future__ import annotations

import os
import signal
import socket
import time
from types import SimpleNamespace

import pytest
import ray
from optuna.trial import TrialState
from ray import cloudpickle, tune
from ray import exceptions as of_ray
from ray._raylet import ActorID, JobID, TaskID
from ray.core.generated.common_pb2 import ActorDiedErrorContext as Context
from ray.core.generated.common_pb2 import ErrorType, NodeDeathInfo

from explorer.confirm import plan
from explorer.launch import remote, tasks
from explorer.launch.sweep import fit
from explorer.search import deaths, ray_state
from explorer.search.arms import open_arms
from explorer.search.bridge import Bridge
from explorer.search.deaths import Death, Fault, judge, out_of_memory, settle
from explorer.search.groups import GroupBridge
from explorer.search.ray_state import Ended, Node, RayState
from explorer.search.tune_errors import Lost, death_of
from trainables.errors import DataError, Interrupted, StudyError

RAW = ActorID.of(JobID.from_int(1), TaskID.for_driver_task(JobID.from_int(1)), 1).binary()
ACTOR = RAW.hex()
STEPS = 9


class Known:
    """What Ray is said to know; where nothing is said, the node is well and the process unknown."""

    def __init__(self, node=Node.THERE, ended=Ended.UNKNOWN, *, shared=False):
        self._node, self._ended, self._shared = node, ended, shared

    def place(self, actor):
        assert actor == ACTOR
        return "n1"

    def node(self, node):
        assert node == "n1"
        return self._node

    def ended(self, actor):
        return self._ended

    def shared(self, actor):
        return self._shared

    def nodes(self):
        return frozenset({"n1"})


def died(reason=Context.WORKER_DIED, **more):
    """As `_deserialize_actor_died_error` makes it."""
    return of_ray.ActorDiedError(cause=Context(actor_id=RAW, reason=reason, error_message="The actor is dead.", **more))


def unavailable():
    words = "The actor is temporarily unavailable: RpcError: RPC error: Connection refused rpc_code: 14"
    return of_ray.ActorUnavailableError(words, RAW)


def raised(error):
    """As a task or an actor's method that raises it gives it to `ray.get`."""
    return of_ray.RayTaskError("train", "Traceback\nOSError: disk on fire", error, "p", 1, "127.0.0.1")


def in_constructor(error):
    return of_ray.ActorDiedError.from_task_error(
        of_ray.RayTaskError("__init__", "Traceback", error, "p", 1, "127.0.0.1", actor_repr="A", actor_id=ACTOR)
    )


def lost(kind=of_ray.ObjectLostError):
    return kind("0f", b"", "")


NODES = {
    "an actor's node died": (died(Context.NODE_DIED), Known(Node.LOST, Ended.WITH_NODE)),
    "the actor's end is known before the node's": (
        died(Context.NODE_DIED),
        Known(ended=Ended.WITH_NODE),
    ),
    "preempted": (died(node_death_info=NodeDeathInfo(reason=NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED)), Known()),
    "out of reach, and the node is dead": (unavailable(), Known(Node.LOST)),
    "the worker crashed together with its raylet": (died(), Known(Node.LOST, Ended.CRASHED)),
    "a task's node died": (of_ray.NodeDiedError("Task failed because its node is dead."), Known()),
    "the raylet of a task died": (of_ray.LocalRayletDiedError(), Known()),
    "a task's worker crashed with one of the nodes": (of_ray.WorkerCrashedError(), Known(Node.LOST)),
    "in an actor's constructor": (in_constructor(of_ray.NodeDiedError("dead")), Known()),
    "of an actor that the trial waits for": (raised(unavailable()).as_instanceof_cause(), Known(Node.LOST)),
    "killed for want of memory on a node that then died": (of_ray.OutOfMemoryError("low"), Known(Node.LOST)),
}
NOBODYS = {
    "out of reach, the node is well": (unavailable(), Known()),
    "out of reach, and so is the node": (unavailable(), Known(Node.SILENT)),
    "out of reach, and Tune has let go of it since": (unavailable(), Known(ended=Ended.KILLED)),
    "died, and its node does not answer": (died(), Known(Node.SILENT, Ended.CRASHED)),
    "its owner died": (died(Context.OWNER_DIED), Known(ended=Ended.KILLED)),
    "killed by ray.kill": (died(Context.RAY_KILL), Known(ended=Ended.KILLED)),
    "an object is lost": (lost(), Known()),
    "an object's owner died": (lost(of_ray.OwnerDiedError), Known()),
    "an object is freed": (lost(of_ray.ObjectFreedError), Known()),
    "an object is deleted": (lost(of_ray.ReferenceCountingAssertionError), Known()),
    "an object cannot be fetched": (lost(of_ray.ObjectFetchTimedOutError), Known()),
    "an object cannot be made again": (
        of_ray.ObjectReconstructionFailedError(
            "0f", reason=ErrorType.OBJECT_UNRECONSTRUCTABLE_PUT, owner_address=b"", call_site=""
        ),
        Known(),
    ),
    "an object that the trial reads is lost": (raised(lost(of_ray.OwnerDiedError)).as_instanceof_cause(), Known()),
    "an object that a constructor reads is lost": (in_constructor(lost()), Known()),
    "the object store is full": (of_ray.ObjectStoreFullError(), Known()),
    "the disk of the object store is full": (of_ray.OutOfDiskError(), Known()),
    "the placement group is gone": (of_ray.ActorPlacementGroupRemoved(), Known()),
    "the node that it must run on is gone": (of_ray.ActorUnschedulableError("no node"), Known()),
    "the environment cannot be set up": (of_ray.RuntimeEnvSetupError("pip"), Known()),
    "Ray's OOM killer, beside others": (Lost(of_ray.OutOfMemoryError("low"), ACTOR), Known(shared=True)),
    "Ray's OOM killer, beside others, told as a death": (died(), Known(ended=Ended.OUT_OF_MEMORY, shared=True)),
}
OWN = {
    "its process crashed": (died(), Known(ended=Ended.CRASHED)),
    "out of reach, for its process crashed": (unavailable(), Known(ended=Ended.CRASHED)),
    "its code raised": (raised(OSError("disk on fire")).as_instanceof_cause(), Known()),
    "its code raised, and the node is dead too": (raised(OSError("disk on fire")), Known(Node.LOST)),
    "its code raised what reads like a lost node": (
        raised(OSError("The actor died because its node has died.")),
        Known(),
    ),
    "its constructor raised": (in_constructor(ValueError("no such module")), Known(ended=Ended.CRASHED)),
    "it raised what this process cannot read": (Lost(of_ray.UnserializableException("Traceback"), ACTOR), Known()),
    "Ray's OOM killer, alone": (Lost(of_ray.OutOfMemoryError("low"), ACTOR), Known()),
    "Ray's OOM killer, alone, told as a death": (died(), Known(ended=Ended.OUT_OF_MEMORY)),
    "out of memory in torch": (raised(MemoryError()), Known()),
    "a task's worker crashed": (of_ray.WorkerCrashedError(), Known()),
}


def parametrised(table):
    return pytest.mark.parametrize(("error", "known"), table.values(), ids=table.keys())


def of_task(error):
    return Death(error, frozenset({"n1"}))


@parametrised(NODES)
def test_a_loss_with_its_node_is_the_nodes(error, known):
    assert judge(of_task(error), known) is Fault.NODE


@parametrised(NOBODYS)
def test_a_loss_that_ray_cannot_lay_on_anyone_is_nobodys(error, known):
    assert judge(of_task(error), known) is Fault.NOBODY


@parametrised(OWN)
def test_a_crash_on_a_node_that_lives_is_the_trials(error, known):
    assert judge(of_task(error), known) is Fault.TRIAL


@parametrised(NODES | NOBODYS | OWN)
def test_the_file_that_tune_keeps_changes_no_judgement(tmp_path, error, known):
    """Tune pickles the error of a trial; of an ActorDiedError it keeps the words, the actor and whether preempted."""
    kept = Lost(error, ACTOR) if not isinstance(error, of_ray.RayTaskError | of_ray.RayActorError) else error
    (tmp_path / "error.pkl").write_bytes(cloudpickle.dumps(kept))
    trial = SimpleNamespace(pickled_error_file=str(tmp_path / "error.pkl"), error_file=None)
    assert judge(death_of(trial), known) is judge(Death(kept), known) is judge(of_task(error), known)


def test_every_class_of_a_loss_is_in_a_table():
    """A new class of Ray's must be thought about: none may be judged by default."""
    losses = (
        of_ray.RayActorError, of_ray.ObjectLostError, of_ray.NodeDiedError, of_ray.LocalRayletDiedError,
        of_ray.WorkerCrashedError, of_ray.OutOfMemoryError,
    )  # fmt: skip
    every = {kind for kind in vars(of_ray).values() if isinstance(kind, type) and issubclass(kind, losses)}
    tried = {type(error) for error, _ in (NODES | NOBODYS | OWN).values()}
    assert every - tried == {of_ray.RayActorError}  # which Ray raises by its subclasses alone


class Clock:
    """Time passes by sleeping only."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(deaths.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(deaths.time, "sleep", self._sleep)

    def _sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


class Changing(Known):
    """A node whose state depends on the time."""

    def __init__(self, clock, node, ended=Ended.UNKNOWN):
        super().__init__(ended=ended)
        self._clock, self._when = clock, node

    def node(self, node):
        return self._when(self._clock.now)


def test_a_node_that_dies_a_second_after_the_worker_has_taken_it_along(clock):
    known = Changing(clock, lambda now: Node.LOST if now >= 1 else Node.THERE, Ended.CRASHED)
    assert judge(Death(died()), known) is Fault.TRIAL
    assert settle(Death(died()), known) is Fault.NODE
    assert clock.now == pytest.approx(1.0)


def test_a_silent_node_is_waited_for_until_ray_gives_it_up(clock):
    known = Changing(clock, lambda now: Node.LOST if now >= 20 else Node.SILENT)
    assert settle(Death(unavailable()), known) is Fault.NODE
    assert clock.now == pytest.approx(20.0, abs=0.3)


def test_a_node_that_stays_silent_is_not_waited_for_without_end(clock):
    assert settle(Death(unavailable()), Changing(clock, lambda _: Node.SILENT)) is Fault.NOBODY
    assert clock.now == pytest.approx(deaths.PATIENCE_S, abs=1)


def test_a_crash_on_a_node_that_answers_costs_two_seconds_and_an_exception_none(clock):
    assert settle(Death(died()), Known(ended=Ended.CRASHED)) is Fault.TRIAL
    assert clock.now == pytest.approx(2.0, abs=0.3)
    before = clock.now
    assert settle(Death(raised(OSError())), Known()) is Fault.TRIAL
    assert clock.now == before


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (raised(OSError("disk on fire")), "OSError: disk on fire"),
        (died(), "The actor is dead."),
        (Lost(of_ray.OutOfMemoryError("1 worker killed.\nprocesses:\n1 python"), ACTOR), "1 worker killed."),
        (of_ray.ActorPlacementGroupRemoved(), "The placement group corresponding to this Actor has been removed."),
        (ValueError(), "ValueError"),
    ],
)
def test_a_reason_is_one_line(error, expected):
    assert Death(error).reason == expected


def test_running_out_of_memory_is_known_by_class():
    torchs = type("OutOfMemoryError", (RuntimeError,), {})  # as torch's is: a RuntimeError
    for error in (torchs("CUDA"), MemoryError(), of_ray.OutOfMemoryError("low"), raised(MemoryError())):
        assert out_of_memory(Death(error), Known())
    assert out_of_memory(Death(died()), Known(ended=Ended.OUT_OF_MEMORY))
    assert not out_of_memory(Death(died()), Known(ended=Ended.CRASHED))  # says that it may have been the OOM killer
    assert not out_of_memory(Death(raised(RuntimeError("OutOfMemoryError"))), Known())


def test_what_tune_kept_as_words_only_is_told_in_words(tmp_path):
    (tmp_path / "error.txt").write_text("Failure # 1\nTuneError: no such trainable\n")
    (tmp_path / "error.pkl").write_bytes(b"torn")
    trial = SimpleNamespace(pickled_error_file=str(tmp_path / "error.pkl"), error_file=str(tmp_path / "error.txt"))
    assert death_of(trial).reason == "TuneError: no such trainable"
    assert judge(death_of(trial), Known()) is Fault.TRIAL
    assert death_of(SimpleNamespace(pickled_error_file=None, error_file=None)).reason == "the worker died"


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
        ray.get(killed.ready.remote())
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
