"""Groups: several trials in what Tune calls one, each judged, pruned, refilled, retried and told by itself."""

from __future__ import annotations

import io
import math
import os
import signal

import pytest
import torch
from optuna.trial import TrialState
from ray import tune
from ray.exceptions import NodeDiedError
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from rich.console import Console

from explorer.launch.sweep import fit, open_bridge, sweep
from explorer.results.trials import load_studies
from explorer.search.arms import open_arms
from explorer.search.deaths import Death
from explorer.search.groups import GroupBridge
from explorer.search.mailbox import Mailbox
from explorer.storage import storages
from explorer.study import StudySpec
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.kept import checkpoint
from trainables.run import run_trial

STEPS = 9
CRASH = Death(RuntimeError("Segmentation fault"))


@pytest.fixture
def asked(spec, tmp_path):
    """Makes a bridge over groups and keeps what it posts; the student alone is told first."""

    def make(*, size=3, max_failures=0, **values):
        study = spec(**{"group_size": size, "pruner": "nop", "num_trials": 6, **values})
        arms = open_arms(study, tmp_path, data_digest="d")
        posted = []
        bridge = GroupBridge(
            arms.values(), size=size, post=lambda *letter: posted.append(letter), grace=1, max_failures=max_failures
        )
        while arms["baseline"].num_open():
            for member in bridge.suggest("alone")["members"]:
                bridge.report("alone", said(member, STEPS))
            bridge.on_trial_complete("alone")
        posted.clear()
        return bridge, arms["search"], posted

    return make


def said(member, step, *, miou=0.5, number=1, **more):
    return {"member": member["directory"], "number": number, "step": step, "miou": miou, **more}


def names(members):
    return [member["directory"] for member in members]


def states(arm):
    return [trial.state.name for trial in arm.study.get_trials()]


def test_a_host_gets_a_group_and_a_free_place_is_filled_in_the_answer(asked):
    bridge, arm, posted = asked()
    members = bridge.suggest("h")["members"]
    assert names(members) == [f"trials/search-{number:05d}" for number in range(3)]
    assert bridge.report("h", said(members[1], STEPS, number=7)) == TrialScheduler.CONTINUE
    host, number, answer = posted.pop()
    assert (host, number, answer["stop"]) == ("h", 7, True)
    assert names(answer["join"]) == ["trials/search-00003"]
    assert bridge.report("h", said(members[0], 1, number=8)) == TrialScheduler.CONTINUE
    assert posted.pop() == ("h", 8, {"stop": False, "join": []})
    assert states(arm) == ["RUNNING", "COMPLETE", "RUNNING", "RUNNING"]


def test_every_member_has_its_own_end(asked):
    bridge, arm, posted = asked(num_trials=3, pruner="threshold", pruner_options={"lower": 0.2})
    members = bridge.suggest("h")["members"]
    bridge.report("h", said(members[0], 1, miou=0.1))
    bridge.report("h", said(members[1], 0, miou=math.nan, failed="r0.png is damaged."))
    bridge.report("h", said(members[2], STEPS, miou=0.6, occupied_s=2.5))
    bridge.on_trial_complete("h")
    assert states(arm) == ["PRUNED", "FAIL", "COMPLETE"]
    pruned, failed, complete = arm.study.get_trials()
    assert pruned.intermediate_values == {1: 0.1}
    assert failed.user_attrs["reason"] == "r0.png is damaged."
    assert (complete.value, complete.user_attrs["occupied_s"]) == (0.6, 2.5)
    assert [letter[2]["stop"] for letter in posted] == [True, True, True]
    assert bridge.suggest("i") == Searcher.FINISHED


def test_a_member_that_pauses_frees_its_place_and_goes_on_in_a_group_of_its_kind(asked):
    bridge, arm, posted = asked(size=2, pruner="evidence", pruner_options={"pauses": 2})
    first, second = bridge.suggest("h")["members"]
    bridge.report("h", said(first, 2, miou=0.6))
    bridge.report("h", said(first, 3, miou=0.6))
    assert posted[-1][2]["stop"]
    (third,) = posted[-1][2]["join"]
    assert names([third]) == ["trials/search-00002"]
    bridge.report("h", said(second, 3, miou=0.5))  # now both have come: the first goes on, the second never
    assert posted[-1][2] == {"stop": True, "join": [first]}
    assert states(arm) == ["RUNNING", "PRUNED", "RUNNING"]
    for step in (2, 3):
        bridge.report("h", said(first, step, miou=0.6))  # what it had, told again
        assert posted[-1][2] == {"stop": False, "join": []}
    bridge.report("h", said(first, 6, miou=0.7))  # of one that came there, one goes on
    assert posted[-1][2] == {"stop": True, "join": [first]}
    bridge.report("h", said(first, STEPS, miou=0.8))
    assert states(arm)[:3] == ["COMPLETE", "PRUNED", "RUNNING"]


def test_only_trials_that_share_crops_and_teacher_meet(asked):
    """Of two teachers in turn: those of the other wait, at most a group of them, and are the next host's."""
    points = [{"pair": pair} for pair in ("r18:mit_b0", "fpn_r18:mit_b0") * 4]
    space = {"pair": ["r18:mit_b0", "fpn_r18:mit_b0"], "lambda_kd": {"low": 0.01, "high": 10.0, "log": True}}
    bridge, arm, _ = asked(size=3, num_trials=8, space=space, enqueue=points)
    first, second = bridge.suggest("h")["members"], bridge.suggest("i")["members"]
    assert [member["config"]["teacher"] for member in first] == ["deeplabv3:resnet18"] * 3
    assert [member["config"]["teacher"] for member in second] == ["fpn:resnet18"] * 3
    assert names(first) == [f"trials/search-{number:05d}" for number in (0, 2, 4)]
    assert names(second) == [f"trials/search-{number:05d}" for number in (1, 3, 5)]
    assert len(arm.study.get_trials()) == 8 - 2 + 2  # enqueued ones are there from the start
    assert sum(trial.state == TrialState.RUNNING for trial in arm.study.get_trials()) == 6


def test_seeds_take_turns_in_blocks_so_that_groups_find_their_like(asked, spec):
    bridge, _, _ = asked(size=3, num_trials=8, seeds=[5, 6], baseline_trials=2)
    assert [member["config"]["seed"] for member in bridge.suggest("h")["members"]] == [5, 5, 5]
    assert [member["config"]["seed"] for member in bridge.suggest("i")["members"]] == [6, 6, 6]
    turns = {
        (24, 8, 2): [0] * 6 + [1] * 6 + [0] * 6 + [1] * 6, (4, 8, 2): [0, 0, 1, 1], (4, 1, 3): [0, 1, 2, 0],
        (14, 3, 2): [0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1],
    }  # fmt: skip
    for (trials, size, num), expected in turns.items():
        study = spec(num_trials=trials, group_size=size, seeds=list(range(num)))
        assert [study.seed_of(repeat) for repeat in range(trials)] == expected


def test_after_a_group_has_died_each_runs_alone_until_it_is_past_that_step(asked):
    bridge, arm, posted = asked()
    members = bridge.suggest("h")["members"]
    for member in members:
        bridge.report("h", said(member, 1))
    bridge.note_death("h", CRASH)
    bridge.on_trial_complete("h", error=True)
    assert states(arm) == ["RUNNING"] * 3

    assert names(bridge.suggest("i")["members"]) == names(members[:1])
    bridge.report("i", said(members[0], 1, number=2))  # its history, told again
    assert posted[-1][2] == {"stop": False, "join": []}
    bridge.report("i", said(members[0], 2, number=3))  # cleared: it makes way for those who are not
    assert posted[-1][2] == {"stop": True, "join": []}
    bridge.on_trial_complete("i")
    assert names(bridge.suggest("j")["members"]) == names(members[1:2])
    bridge.note_death("j", CRASH)
    bridge.on_trial_complete("j", error=True)
    assert names(bridge.suggest("k")["members"]) == names(members[2:])
    bridge.report("k", said(members[2], 2, number=4))  # the last: it stays, and has company again
    assert names(posted[-1][2]["join"]) == ["trials/search-00000", "trials/search-00003"]
    assert arm.study.get_trials()[1].state == TrialState.FAIL
    assert arm.study.get_trials()[1].user_attrs["reason"] == "Segmentation fault"
    assert arm.study.get_trials()[0].state == arm.study.get_trials()[2].state == TrialState.RUNNING


def test_a_lost_node_makes_nobody_a_suspect(asked):
    bridge, _, _ = asked()
    members = bridge.suggest("h")["members"]
    bridge.note_death("h", Death(NodeDiedError("The node has died.")))
    bridge.on_trial_complete("h", error=True)
    assert names(bridge.suggest("i")["members"]) == names(members)


BOILERPLATE = (
    "The worker died unexpectedly. There are some potential root causes. (1) The process is killed by SIGKILL by OOM "
    "killer due to high memory usage. (2) ray stop --force is called. (3) The worker is crashed unexpectedly due to "
    "SIGSEGV or other unexpected errors."
)  # what Ray says of every worker that is killed


def test_a_killed_worker_makes_no_later_group_smaller(asked):
    bridge, _, _ = asked(size=4, num_trials=12)
    members = bridge.suggest("h")["members"]
    bridge.note_death("h", Death(RuntimeError(BOILERPLATE)))
    bridge.on_trial_complete("h", error=True)
    for name, member in zip("ijkl", members, strict=True):
        bridge.suggest(name)
        bridge.report(name, said(member, 1))
    assert len(bridge.hosts["l"].members) == 4


def test_out_of_memory_makes_later_groups_smaller(asked):
    bridge, _, _ = asked(size=4, num_trials=12)
    members = bridge.suggest("h")["members"]
    assert len(members) == 4
    bridge.note_death("h", Death(torch.OutOfMemoryError("CUDA out of memory.")))
    bridge.on_trial_complete("h", error=True)
    hosts = [bridge.suggest(name)["members"] for name in "ijklm"]
    assert [len(host) for host in hosts] == [1, 1, 1, 1, 2]


def test_a_suspect_is_one_to_the_next_driver_too(asked, spec, tmp_path):
    bridge, _, _ = asked()
    members = bridge.suggest("h")["members"]
    bridge.note_death("h", CRASH)
    bridge.on_trial_complete("h", error=True)
    arms = open_arms(spec(group_size=3, pruner="nop", num_trials=6), tmp_path, data_digest="d")
    again = GroupBridge(arms.values(), size=3, post=lambda *_: None, grace=1)
    assert [names(again.suggest(name)["members"]) for name in "ij"] == [names(members[:1]), names(members[1:2])]


def test_a_lost_storage_ends_the_sweep_and_no_member(asked, monkeypatch):
    bridge, arm, posted = asked()
    members = bridge.suggest("h")["members"]

    def gone(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(arm), "report", gone)
        assert bridge.report("h", said(members[0], 1)) == TrialScheduler.STOP
    assert bridge.interrupted == storages.lost(OSError(28, "No space left on device"))
    assert posted[-1][2] == {"stop": False, "join": []}
    bridge.on_trial_complete("h")
    assert states(arm)[:3] == ["RUNNING"] * 3
    assert bridge.suggest("i") == Searcher.FINISHED


def miou(config, step):
    return 0.5 * math.exp(-((math.log10(config["lambda_kd"] / 0.3)) ** 2)) * (1 - 0.5**step)


def synthetic(params, *, answers, deaths):
    """A group in lockstep; its process dies once, at the report that `deaths` names."""
    host, number = str(tune.get_context().get_trial_id()), 0
    members = [[member, 0] for member in params["members"]]
    while members:
        for entry in list(members):
            member, step = entry[0], entry[1] + 1
            entry[1], number = step, number + 1
            if (member["directory"], step) == deaths[0] and not deaths[1].exists():
                deaths[1].touch()
                os.kill(os.getpid(), signal.SIGKILL)
            tune.report({"member": member["directory"], "number": number, "step": step,
                         "miou": miou(member["config"], step), "occupied_s": 1.0})  # fmt: skip
            answer = answers.take(host, number)
            if answer["stop"]:
                members.remove(entry)
            members += [[joins, 0] for joins in answer["join"]]


def test_a_pruned_sweep_of_groups_is_true_although_a_group_is_killed(ray_local, tmp_path, spec):
    study = spec(num_trials=20, group_size=4, max_failures=1)
    arms = open_arms(study, tmp_path, data_digest="d")
    mailbox = Mailbox()
    bridge = open_bridge(study, arms, root=str(tmp_path), post=mailbox.put)
    deaths = ("trials/search-00002", 3), tmp_path / "died"
    fit(bridge, tune.with_parameters(synthetic, answers=mailbox, deaths=deaths), tmp_path, {"cpu": 1}, 2)

    trials = open_arms(study, tmp_path, data_digest="d")["search"].study.get_trials()
    assert (tmp_path / "died").exists()
    assert len(trials) == 20
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert sum(trial.state == TrialState.PRUNED for trial in trials) >= 5
    assert len({trial.user_attrs["ray_trial_id"] for trial in trials}) < 20  # hosts, not a worker each
    for trial in trials:
        steps = range(1, len(trial.intermediate_values) + 1)
        assert trial.intermediate_values == pytest.approx({step: miou(trial.params, step) for step in steps})
        assert (len(steps) == STEPS) == (trial.state == TrialState.COMPLETE)


def test_a_real_sweep_in_groups_gives_every_trial_what_it_gets_alone(
    without_ray, tiny_spec, tmp_path_factory, monkeypatch
):
    """Both arms, two teachers; of two trials that pause, one goes on. Then each again by itself, bit for bit."""
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path_factory.mktemp("cache")))
    directory = tmp_path_factory.mktemp("study") / "grouped"
    pausing = {"pruner": "evidence", "pruner_options": {"pauses": 2, "min_resource": 4}}
    spec = StudySpec.parse({**tiny_spec, "group_size": 3, "num_trials": 8, **pausing})
    with without_ray():
        assert sweep(spec, directory, console=Console(file=io.StringIO())) == 0

    _, studies = load_studies(directory)
    trials = studies["search"].get_trials()
    assert len(trials) == 8
    (pruned,) = (trial for trial in trials if trial.state == TrialState.PRUNED)
    (went_on,) = (trial for trial in trials if "on" in trial.user_attrs.get("paused_at", ()))
    assert pruned.last_step == 2  # the first past a third of four
    hosts = [trial.user_attrs["ray_trial_id"] for trial in trials]
    assert max(hosts.count(host) for host in hosts) >= 2
    again = tmp_path_factory.mktemp("alone")
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    for trial in [pruned, went_on, *complete[-2:], *studies["baseline"].get_trials()]:
        config = TrialConfig.parse(trial.user_attrs["config"])
        dataset = open_dataset(config.data)
        seen = {}
        folder = again / f"{config.method}-{trial.number}"
        run_trial(config, dataset=dataset, directory=folder, report=lambda r, seen=seen: seen.update({r.step: r.miou}))
        assert trial.intermediate_values == {step: seen[step] for step in trial.intermediate_values}
        if trial.state == TrialState.COMPLETE:
            role = "search" if config.method != "task" else "baseline"
            grouped, _ = checkpoint.latest(directory / f"trials/{role}-{trial.number:05d}", digest=config.digest())
            alone, _ = checkpoint.latest(folder, digest=config.digest())
            assert all(value.equal(alone[name]) for name, value in grouped.items())
