"""Whose fault a death is, for every way that Ray has of losing an actor or a task."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray import cloudpickle
from ray import exceptions as of_ray

from explorer.search import deaths
from explorer.search.deaths import Death, Fault, judge, out_of_memory, settle
from explorer.search.ray_state import Ended, Node
from explorer.search.tune_errors import Lost, death_of

sys.path.insert(0, str(Path(__file__).parent))
from ways import ACTOR, NOBODYS, NODES, OWN, Changing, Known, died, of_task, parametrised, raised, unavailable


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
