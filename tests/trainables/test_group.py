"""Students that learn side by side end as they do alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from trainables import loop
from trainables.errors import DataError, Interrupted, NonFiniteLoss
from trainables.group import PATIENCE, Answer, Member, next_cohort, train_group
from trainables.kept import checkpoint
from trainables.loop import train
from trainables.losses.find import find_method
from trainables.state import Report

DROPOUT = {"method": "kd", "lambda_aux": 0.4}  # its auxiliary head draws random numbers
OTHER = {"method": "heteroakd", "lambda_hakd": 3.0, "optimizer": "sgd", "lr": 0.01, "clip_norm": 1.0}
THIRD = {"method": "cwd", "student": "fpn:tu-mobilenetv3_small_075", "lambda_aux": 0.4}


class Host:
    """Answers from a list of what happens after (member, step), and remembers what it was told."""

    def __init__(self, answers=()):
        self.answers = dict(answers)
        self.told = []

    def __call__(self, name, outcome, seconds):
        step = outcome.step if isinstance(outcome, Report) else outcome
        self.told.append((name, step, seconds))
        return self.answers.pop((name, step), Answer()) if isinstance(outcome, Report) else Answer()

    def steps(self, name):
        return [step for member, step, _ in self.told if member == name]


@pytest.fixture
def member(small, tmp_path):
    def make(name, **fields):
        return Member(name, small(**{"projector_tap": "stage3", **fields}), tmp_path / name)

    return make


@pytest.fixture
def kept():
    """What a member left on disk, but for seconds, with its tensors as bytes."""

    def read(member):
        tensors, meta = checkpoint.latest(member.directory, digest=member.config.digest())
        history = [{**report, "seconds": None} for report in meta["history"]]
        return {name: value.numpy().tobytes() for name, value in tensors.items()}, history, meta["step"]

    return read


@pytest.fixture
def alone(dataset, teacher, kept, tmp_path):
    """The same trial by itself."""

    def run(member):
        own = Member(member.name, member.config, tmp_path / "alone" / member.name)
        guide = teacher if find_method(member.config.method).needs_teacher else None
        train(own.config, dataset=dataset, teacher=guide, directory=own.directory)
        return kept(own)

    return run


def test_each_student_ends_as_it_does_alone_bit_for_bit(member, dataset, teacher, alone, kept):
    members = [member("a", **DROPOUT), member("b", **OTHER), member("c", **THIRD), member("d", **DROPOUT, lr=3e-3)]
    train_group(members, dataset=dataset, teacher=teacher, tell=Host())
    assert [kept(one) for one in members] == [alone(one) for one in members]


def test_students_without_a_teacher_and_pairs_of_students_share_the_crops(member, dataset, alone, kept):
    members = [member("a"), member("b", lambda_aux=0.4), member("c", method="collaborative")]
    train_group(members, dataset=dataset, teacher=None, tell=Host())
    assert [kept(one) for one in members] == [alone(one) for one in members]


def test_the_teacher_and_the_loader_run_once_a_step(member, dataset, teacher, monkeypatch):
    seen, feed = [], []
    handle = teacher.register_forward_pre_hook(lambda *_: seen.append(1))
    plain = loop.feed
    monkeypatch.setattr(
        "trainables.group.feed", lambda *args, **options: (feed.append(1) or b for b in plain(*args, **options))
    )
    train_group(
        [member(name, method="kd", fold_teacher=False) for name in "abc"], dataset=dataset, teacher=teacher, tell=Host()
    )
    handle.remove()
    assert (len(seen), len(feed)) == (6, 6)


def test_a_freed_slot_is_filled_at_once_and_nobody_notices(member, dataset, teacher, alone, kept):
    first, second, third = member("a", **DROPOUT), member("b", **OTHER), member("c", **DROPOUT, lambda_kd=2.0)
    host = Host({("a", 2): Answer(stop=True, join=(third,))})
    train_group([first, second], dataset=dataset, teacher=teacher, tell=host)
    assert (host.steps("a"), host.steps("b"), host.steps("c")) == ([2], [2, 4, 6], [2, 4, 6])
    assert [kept(one) for one in (second, third)] == [alone(one) for one in (second, third)]


def test_who_waits_is_joined_by_the_one_that_comes_after(member, dataset, teacher, monkeypatch):
    """Of equally many students at two steps those behind go first, so they meet and share the rest."""
    batches = []
    plain = loop.feed

    def counted(*args, start_step, **options):
        for number, batch in enumerate(plain(*args, start_step=start_step, **options), start=start_step):
            batches.append(number)
            yield batch

    monkeypatch.setattr("trainables.group.feed", counted)
    joins = {("a", 2): Answer(stop=True, join=(member("c", method="kd"),))}
    train_group(
        [member("a", method="kd"), member("b", method="kd")], dataset=dataset, teacher=teacher, tell=Host(joins)
    )
    assert batches == [0, 1, 0, 1, 2, 3, 4, 5]


def test_a_student_that_fails_takes_no_other_with_it(member, dataset, teacher, alone, kept):
    wild = member("wild", method="kd", lambda_kd=1e6, optimizer="sgd", lr=10.0, steps=12, eval_every=12)
    calm = member("calm", **DROPOUT, steps=12, eval_every=12)
    host = Host()
    train_group([wild, calm], dataset=dataset, teacher=teacher, tell=host)
    (error,) = host.steps("wild")
    assert isinstance(error, NonFiniteLoss)
    assert "at step 10" in str(error)
    assert kept(calm) == alone(calm)


def test_a_network_that_cannot_be_built_fails_alone(member, dataset, teacher):
    host, small = Host(), {"crop_height": 32, "crop_width": 32}
    bad = member("bad", method="fitnet", projector_tap="stage4", student="fpn:resnet18", **small)
    train_group([bad, member("good", method="kd", **small)], dataset=dataset, teacher=teacher, tell=host)
    (error,) = host.steps("bad")
    assert "projector_tap 'stage4'" in str(error)
    assert host.steps("good") == [2, 4, 6]


def test_a_damaged_image_ends_all_that_would_have_met_it(member, dataset, teacher, monkeypatch):
    def damaged(*_args, **_options):
        raise DataError("r1.png cannot be decoded.")
        yield

    monkeypatch.setattr("trainables.group.feed", damaged)
    host = Host()
    train_group([member("a", method="kd"), member("b", method="kd")], dataset=dataset, teacher=teacher, tell=host)
    assert [(name, str(outcome)) for name, outcome, _ in host.told] == [
        ("a", "r1.png cannot be decoded."),
        ("b", "r1.png cannot be decoded."),
    ]


def test_a_group_goes_on_where_each_student_was(member, dataset, teacher, alone, kept):
    first, second = member("a", **DROPOUT), member("b", **OTHER)

    class Killed(Exception):
        pass

    def until_b_has_reported(name, outcome, _seconds):
        if name == "b" and outcome.step == 2:
            raise Killed  # its checkpoint and a's are on disk
        return Answer(stop=name == "a" and outcome.step == 4)

    with pytest.raises(Killed):
        train_group([first, second], dataset=dataset, teacher=teacher, tell=until_b_has_reported)
    host = Host()
    torch.manual_seed(99)
    train_group([second, first], dataset=dataset, teacher=teacher, tell=host)
    assert host.steps("a") == host.steps("b") == [2, 4, 6]
    assert [kept(one) for one in (first, second)] == [alone(one) for one in (first, second)]


def test_a_trial_that_had_ended_tells_its_history_and_trains_no_step(member, dataset, teacher):
    done = member("a", method="kd")
    train_group([done], dataset=dataset, teacher=teacher, tell=Host())
    host = Host()
    train_group([done], dataset=dataset, teacher=teacher, tell=host)
    assert host.told == [("a", 2, 0.0), ("a", 4, 0.0), ("a", 6, 0.0)]


def test_a_full_disk_is_told_of_the_student_that_met_it(member, dataset, teacher, monkeypatch):
    plain = loop.save

    def full(state, config, directory):
        if directory.name == "a":
            raise Interrupted("The disk is full.")
        plain(state, config, directory)

    monkeypatch.setattr(loop, "save", full)
    host = Host()
    train_group([member("a", method="kd"), member("b", method="kd")], dataset=dataset, teacher=teacher, tell=host)
    (error,) = host.steps("a")
    assert isinstance(error, Interrupted)
    assert host.steps("b") == [2, 4, 6]


def test_time_in_training_is_shared_equally_and_an_evaluation_is_ones_own(member, dataset, teacher, monkeypatch):
    now, plain, evaluate = [0.0], loop.feed, loop.evaluate

    def timed(*args, **options):
        for batch in plain(*args, **options):
            now[0] += 1.0
            yield batch

    def slow(*args):
        now[0] += 100.0
        return evaluate(*args)

    monkeypatch.setattr("trainables.group.time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr("trainables.group.feed", timed)
    monkeypatch.setattr(loop, "evaluate", slow)
    host = Host()
    members = [member("a", method="kd"), member("b", method="kd")]
    train_group(members, dataset=dataset, teacher=teacher, tell=host)
    assert [seconds for _, _, seconds in host.told] == [101.0] * 6
    for one in members:
        _, meta = checkpoint.latest(one.directory, digest=one.config.digest())
        assert [report["seconds"] for report in meta["history"]] == [1.0, 2.0, 3.0]


def test_the_majority_goes_first_of_equals_those_behind_and_nobody_waits_for_ever():
    at = {"a": 4, "b": 0, "c": 4, "d": 2, "e": 2, "f": 8}

    def chosen(**waited):
        return list(next_cohort(at, step=lambda step: step, waited=waited))

    assert chosen() == chosen(f=PATIENCE - 1) == ["d", "e"]
    assert chosen(f=PATIENCE) == chosen(f=PATIENCE + 1, b=PATIENCE) == ["f"]
    assert chosen(f=PATIENCE, a=PATIENCE) == ["a", "c"]


def test_a_lone_survivor_is_not_outnumbered_for_ever(member, dataset, teacher):
    """Two places are refilled again and again; the third, at its first report, has its turn after PATIENCE others."""
    order = []

    def tell(name, outcome, _seconds):
        order.append((name, outcome.step))
        number = len(order)
        if name == "a" or number > 2 * PATIENCE + 5:
            return Answer()
        return Answer(stop=True, join=(member(f"new{number}", method="kd"),))

    train_group([member(name, method="kd") for name in "abc"], dataset=dataset, teacher=teacher, tell=tell)
    second = order.index(("a", 4))
    assert {step for _, step in order[3:second]} == {2}
    assert second - 3 == 2 * PATIENCE


def test_what_trials_must_share_to_learn_side_by_side(small):
    shared = small(method="kd").shared_digest()
    for fields in ({"lambda_kd": 9.0}, {"student": "fpn:resnet18"}, {"lr": 0.1, "optimizer": "sgd"}, {"method": "cwd"}):
        assert small(**{"method": "kd", **fields}).shared_digest() == shared
    recipe = {"steps": 3, "batch_size": 2, "crop_height": 64, "crop_width": 64}
    for fields in (
        {"seed": 1}, {"batch_size": 4}, {"crop_width": 96}, {"teacher": "fpn:resnet18"}, {"teacher_recipe": recipe},
        {"teacher_checkpoint": "t.safetensors"}, {"steps": 8}, {"eval_every": 3}, {"color_jitter": 0.1}, {"views": 4},
        {"method": "task"}, {"fold_teacher": False}, {"amp": False}, {"num_threads": 2},
    ):  # fmt: skip
        assert small(**{"method": "kd", **fields}).shared_digest() != shared
    task = small().shared_digest()
    assert task == small(method="collaborative").shared_digest() == small(teacher="fpn:resnet18").shared_digest()
