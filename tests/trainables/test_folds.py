"""Folds: how images are cut, and a trial that trains a student on each."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from trainables import folds as module
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.check import verify_folds
from trainables.data.dataset import Sample
from trainables.data.folds import cut, folded, group_numbers, group_of, parts_of
from trainables.errors import ConfigError, DataError, NonFiniteLoss
from trainables.folds import merged, train_folds
from trainables.group import Answer, Member
from trainables.kept import checkpoint
from trainables.kept.bucket import Bucket
from trainables.kept.store import Folder
from trainables.loop import train
from trainables.run import run_group, run_trial
from trainables.state import Report
from trainables.teachers import ensure_teacher, load_teacher


def without_seconds(reports):
    return [{**dataclasses.asdict(one), "seconds": None} for one in reports]


class TestPatterns:
    @pytest.mark.parametrize(
        ("by", "stem", "group"),
        [
            ("{scene}_*", "aachen_000001_000019", "aachen"),
            ("*_{patient}_*", "ct_12_07", "12"),
            ("{city}_{drive}_*", "bonn_3_9", "bonn/3"),
            ("{scene}.v1", "a.v1", "a"),
            ("{scene}.v1", "axv1", None),
            ("{scene}_*", "alone", None),
            ("{scene}_*", "_1", None),
            ("{a}*", "x", "x"),
            ("{scene}_*", "ä b_1", "ä b"),
        ],
    )
    def test_what_is_in_braces_names_the_group_by_the_shortest_text_that_fits(self, by, stem, group):
        assert group_of(stem, by) == group

    def test_groups_are_numbered_as_they_come_and_what_does_not_fit_is_alone(self, dataset):
        stems = ("b_1", "a_1", "other", "b_2", "another")
        samples = [Sample(Path(f"{stem}.png"), Path(f"{stem}-label.png")) for stem in stems]
        assert group_numbers(dataset, samples, by="{scene}_*") == [0, 1, 2, 0, 3]
        assert group_numbers(dataset, samples, by=None) is None

    @pytest.mark.parametrize("by", ["scene_*", "", "{}", "{a b}", "{1}"])
    def test_a_pattern_that_names_nothing_is_refused(self, small, by):
        with pytest.raises(ConfigError, match="fold_by must have a name in braces"):
            small(fold_by=by)


class TestCut:
    def test_every_image_is_in_one_fold_and_folds_are_equal_to_within_one(self):
        found = Counter(cut([f"image {number}" for number in range(23)], 5))
        assert sorted(found.values()) == [4, 4, 5, 5, 5]
        assert found.keys() == {0, 1, 2, 3, 4}

    def test_groups_stay_together_and_the_largest_does_not_make_the_rest_uneven(self):
        names = [*("big",) * 10, *("a", "b", "c", "d", "e") * 2, *("x",) * 4]
        found = cut(names, 3)
        folds = {name: {fold for fold, of in zip(found, names, strict=True) if of == name} for name in names}
        assert all(len(one) == 1 for one in folds.values())
        assert sorted(Counter(found).values()) == [6, 8, 10]

    def test_the_order_of_images_does_not_matter_but_their_names_do(self):
        names = [f"image {number}" for number in range(12)]
        of = dict(zip(names, cut(names, 3), strict=True))
        turned = names[::-1]
        assert dict(zip(turned, cut(turned, 3), strict=True)) == of
        assert [of[name] for name in names] != [number % 3 for number in range(12)]


class TestDataSets:
    def test_each_image_of_train_and_val_is_scored_in_one_fold_and_learnt_in_all_others(self, dataset):
        parts = folded(dataset, folds=3, by=None)
        pool = {*dataset.samples("train"), *dataset.samples("val")}
        assert len(pool) == 7
        assert Counter(one for part in parts for one in part.samples("val")) == dict.fromkeys(pool, 1)
        assert sorted(len(part.samples("val")) for part in parts) == [2, 2, 3]
        for part in parts:
            assert {*part.samples("train")} == pool - {*part.samples("val")}
            assert "test" not in part.splits
        assert len({part.digest() for part in parts}) == 3

    def test_images_are_decoded_once_for_all_folds(self, dataset):
        one, other = folded(dataset, folds=2, by=None)
        sample = one.samples("val")[0]
        assert sample in other.samples("train")
        assert one.read(sample)[0] is other.read(sample)[0] is dataset.read(sample)[0]

    def test_groups_stay_together_over_both_splits(self, dataset):
        """r0 to r3 of train, r0 to r2 of val: those of one name are one group."""
        parts = folded(dataset, folds=3, by="r{number}")
        held = [{one.image.stem for one in part.samples("val")} for part in parts]
        assert sorted(map(len, held)) == [1, 1, 2]
        assert sum(map(len, held)) == len(set.union(*held)) == 4

    def test_the_groups_that_a_set_declares_hold_unless_a_trial_names_others(self, folder, tmp_path):
        """Images of train and val in one folder: a set that is split by shares, so that scenes stay together."""
        for kind in ("images", "labels"):
            (tmp_path / kind).mkdir()
            for number in range(12):
                shutil.copy(folder / kind / "train" / "r0.png", tmp_path / kind / f"s{number // 3}_{number}.png")
        (tmp_path / "dataset.yaml").write_text(
            "classes: [a, b, c, d, e]\nsplit: {val: 0.4, seed: 7, by: '{scene}_*'}\n", encoding="utf-8"
        )
        dataset = open_dataset(str(tmp_path))
        pool = (*dataset.samples("train"), *dataset.samples("val"))
        assert {path.name: name for path, name in dataset.groups.items()} == {
            f"s{number // 3}_{number}.png": f"s{number // 3}" for number in range(12)
        }
        scenes = [sample.image.stem.partition("_")[0] for sample in pool]
        numbers = group_numbers(dataset, pool, by=None)
        assert len({*zip(scenes, numbers, strict=True)}) == len(set(scenes)) == 4
        for part in folded(dataset, folds=2, by=None):
            held, learnt = ({one.image.name[:2] for one in part.samples(split)} for split in ("val", "train"))
            assert (len(held), len(learnt), held & learnt) == (2, 2, set())
        assert len(set(group_numbers(dataset, pool, by="*_{number}"))) == 12
        assert pickle.loads(pickle.dumps(dataset)).groups == dataset.groups

    def test_too_few_images_or_groups_and_names_that_do_not_fit_are_one_sentence(self, dataset):
        for folds, by, said in (
            (8, None, "folds is 8, but train and val of .* hold 7 images. Set at most 7."),
            (5, "r{number}", "folds is 5, .* hold 4 groups. Set at most 4."),
            (2, "{scene}_*", r"fold_by '\{scene\}_\*' does not fit .*r0.png"),
        ):
            with pytest.raises(DataError, match=said):
                folded(dataset, folds=folds, by=by)

    def test_a_fold_that_cannot_be_scored_is_refused_and_a_small_set_is_said(self, dataset, small, monkeypatch):
        (note,) = verify_folds(dataset, small())
        assert "have 7 images" in note
        assert "--set folds=5" in note
        assert verify_folds(dataset, small(folds=3)) == []
        for config in (small(fold_by="{scene}_*"), small(fold_by="r{number}3", folds=3)):
            with pytest.raises(DataError, match=r"does not fit .*r0.png. Each image must fit"):
                verify_folds(dataset, config)
        monkeypatch.setattr(
            "trainables.data.facts.SplitFacts.class_counts", lambda *_: np.array([0, 3, 0], dtype=np.int64)
        )
        with pytest.raises(DataError, match="folds is 3, but the images of fold 1 hold fewer than two"):
            verify_folds(dataset, small(folds=3))


def test_folds_do_not_go_with_a_teacher_cache_or_a_group(small, dataset, tmp_path):
    with pytest.raises(ConfigError, match="teacher_cache keeps one bank, but folds is 3"):
        small(method="kd", folds=3, views=2, teacher_cache=True)
    with pytest.raises(ConfigError, match="folds is 3, but trials of several folds do not train in groups"):
        run_group([Member("a", small(folds=3), tmp_path)], dataset=dataset, tell=lambda *_: Answer())


def test_folds_do_not_go_with_several_processes(small):
    with pytest.raises(ConfigError, match="folds is 3, but a trial of 2 processes trains one student"):
        small(folds=3, processes=2)


def test_a_config_without_folds_has_the_digest_of_before_and_one_with_them_another(small):
    plain = TrialConfig()
    without = {name: value for name, value in plain.read_values().items() if name not in ("folds", "fold_by")}
    assert {"folds", "fold_by"} <= plain.read_values().keys()
    assert without.keys() == plain.read_values(without=("folds", "fold_by")).keys()
    assert plain.digest() == plain.digest(without=("folds", "fold_by"))
    found = {small(**fields).digest() for fields in ({}, {"folds": 2}, {"folds": 3}, {"fold_by": "{a}*"})}
    assert len(found) == 4


@pytest.fixture(scope="module")
def taught(small, dataset, tmp_path_factory):
    """A kd trial of three folds, run whole: its config, folder, cache of teachers and reports."""
    place = tmp_path_factory.mktemp("taught")
    config, told = small(method="kd", folds=3), []
    run_trial(config, dataset=dataset, directory=place / "trial", report=told.append, cache=place / "cache")
    return config, place, told


@pytest.fixture(scope="module")
def alone(taught, dataset, tmp_path_factory):
    """Each fold trained by itself: the reports of `loop.train`, and each one's final state."""
    config, place, _ = taught
    return [
        train(
            config,
            dataset=part,
            teacher=load_teacher(config, dataset=part, cache=place / "cache"),
            directory=tmp_path_factory.mktemp("alone"),
        )
        for part in parts_of(dataset, config)
    ]


def test_a_report_is_the_mean_of_the_folds_trained_by_themselves(taught, alone):
    _, _, told = taught
    assert [one.step for one in told] == [2, 4, 6]
    for number, found in enumerate(told):
        each = [state.history[number] for state in alone]
        assert found.fold_miou == [one.miou for one in each]
        assert found.miou == math.fsum(one.miou for one in each) / 3
        assert found.terms["loss_kd"] == math.fsum(one.terms["loss_kd"] for one in each) / 3
        for c in range(5):
            held = [one.iou[c] for one in each if one.iou[c] is not None]
            assert found.iou[c] == (math.fsum(held) / len(held) if held else None)


def test_each_folds_student_is_the_one_of_a_training_by_itself_bit_for_bit(taught, alone, outcome, small):
    config, place, _ = taught
    for number, state in enumerate(alone):
        tensors, meta = checkpoint.latest(place / "trial" / f"fold-{number}", digest=config.digest())
        expected = state.tensors(optimizer=False)
        assert tensors.keys() == expected.keys()
        assert all((tensors[name] == expected[name]).all() for name in tensors)
        assert [{**one, "seconds": 0} for one in meta["history"]] == [
            {**dataclasses.asdict(one), "seconds": 0} for one in state.history
        ]


def test_each_fold_has_a_teacher_that_has_not_seen_its_images(taught, dataset, monkeypatch):
    """They lie in the cache by content, where a fold's is found again and that of the whole set is not."""
    config, place, _ = taught
    monkeypatch.setattr("trainables.teachers.train", lambda *_, **__: pytest.fail("a teacher was trained again"))
    paths = [ensure_teacher(config, dataset=part, cache=place / "cache") for part in parts_of(dataset, config)]
    assert len(set(paths)) == 3
    assert len([*(place / "cache").glob("*/teacher.safetensors")]) == 3


def test_the_log_holds_what_was_reported(taught):
    _, place, told = taught
    lines = (place / "trial" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [dataclasses.asdict(one) for one in told]


@pytest.mark.parametrize("killed_at", [(0, 4), (1, 2), (2, 6)])
def test_a_trial_that_was_killed_in_a_fold_goes_on_as_if_not(taught, dataset, tmp_path, monkeypatch, killed_at):
    """Killed while a fold is scored at a step: the folds before it stand further than it and those behind."""
    config, place, told = taught

    class Killed(BaseException):
        pass

    plain = module.Learner.assess

    def until(self, **options):
        if (int(str(self._directory)[-1]), self.state.step) == killed_at:
            raise Killed
        return plain(self, **options)

    def go(report):
        run_trial(config, dataset=dataset, directory=tmp_path, report=report, cache=place / "cache")

    seen, again = [], []
    monkeypatch.setattr(module.Learner, "assess", until)
    with pytest.raises(Killed):
        go(seen.append)
    monkeypatch.undo()
    go(again.append)
    assert without_seconds(seen) == without_seconds(told)[: len(seen)]
    assert len(seen) == killed_at[1] // 2 - 1
    assert without_seconds(again) == without_seconds(told)
    for number in range(3):
        one, other = (
            checkpoint.latest(root / f"fold-{number}", digest=config.digest())[0]
            for root in (place / "trial", tmp_path)
        )
        assert all((one[name] == other[name]).all() for name in one)


def test_a_finished_trial_only_repeats_its_reports(taught, dataset, monkeypatch):
    config, place, told = taught
    monkeypatch.setattr("trainables.folds.feed", lambda *_, **__: pytest.fail("it trains"))
    again = []
    run_trial(config, dataset=dataset, directory=place / "trial", report=again.append, cache=place / "cache")
    assert again == told


def test_a_pruned_trial_ends_after_a_report_of_all_folds(small, dataset, tmp_path):
    class Stopped(Exception):
        pass

    def stop(_):
        raise Stopped

    config = small(folds=2)
    with pytest.raises(Stopped):
        train_folds(config, datasets=parts_of(dataset, config), teachers=[None] * 2, directory=tmp_path, report=stop)
    metas = [checkpoint.latest(tmp_path / f"fold-{number}", digest=config.digest())[1] for number in range(2)]
    assert [meta["step"] for meta in metas] == [2, 2]


def test_one_ready_or_given_teacher_is_shared_by_all_folds(small, dataset, taught, tmp_path, monkeypatch):
    _, place, _ = taught
    own = str(next((place / "cache").glob("*/teacher.safetensors")))
    made = []
    plain = module.Guide
    monkeypatch.setattr(module, "Guide", lambda *args, **options: made.append(args) or plain(*args, **options))
    config = small(method="kd", folds=3, teacher_checkpoint=own, steps=2)
    last = run_trial(config, dataset=dataset, directory=tmp_path, report=lambda _: None, cache=tmp_path / "none")
    assert len(made) == 1
    assert len(last.fold_miou) == 3
    assert not (tmp_path / "none").exists()


def test_two_students_that_learn_together_are_both_scored_on_each_fold(small, dataset, tmp_path):
    config = small(method="collaborative", folds=2, steps=2, region_size=8)
    last = run_trial(config, dataset=dataset, directory=tmp_path, report=lambda _: None)
    reports = [
        Report(**checkpoint.latest(tmp_path / f"fold-{number}", digest=config.digest())[1]["history"][-1])
        for number in range(2)
    ]
    assert last.peer_miou == sum(one.peer_miou for one in reports) / 2


def test_a_fold_that_diverges_fails_the_trial(small, dataset, tmp_path):
    config = small(folds=2, optimizer="sgd", lr=10.0, steps=30, eval_every=30, weight_decay=1.0, momentum=0.99)
    with pytest.raises(NonFiniteLoss):
        train_folds(config, datasets=parts_of(dataset, config), teachers=[None] * 2, directory=tmp_path)


def one(miou, low, high, **fields):
    fields = {"step": 1, "iou": [miou], "terms": {}, "grad_shares": {}, "lr": 0.1, "seconds": 1.5} | fields
    return Report(miou=miou, miou_low=low, miou_high=high, **fields)


def test_the_interval_over_images_of_a_mean_is_that_of_independent_parts():
    """By hand: distances 0.03 and 0.04 below are 0.05 together, 0.06 and 0.08 above are 0.10; of a mean, half of it."""
    found = merged([one(0.4, 0.37, 0.46), one(0.6, 0.56, 0.68)])
    assert found.miou == pytest.approx(0.5)
    assert (found.miou_low, found.miou_high) == pytest.approx((0.475, 0.55))
    assert found.seconds == 3.0
    assert merged([one(0.4, None, None), one(0.6, 0.56, 0.68)]).miou_low is None


def test_a_class_counts_in_the_folds_where_it_is_and_a_file_is_named_once():
    both = [
        one(0.4, 0.3, 0.5, iou=[0.2, None, None], skipped=["a"]),
        one(0.6, 0.5, 0.7, iou=[0.4, 0.9, None], skipped=["a"]),
    ]
    found = merged(both)
    assert found.iou == pytest.approx([0.3, 0.9, None])
    assert found.skipped == ["a"]


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_a_store_has_folders_of_its_own(kind, tmp_path):
    store = Folder(tmp_path / "trial") if kind == "folder" else Bucket(f"file://{tmp_path}", "trial")
    inside = store.inside("fold-1")
    assert inside.names() == []
    inside.write("x", lambda path: path.write_text("held"))
    assert (tmp_path / "trial/fold-1/x").read_text() == "held"
    assert inside.names() == ["x"]
    assert str(inside).endswith("trial/fold-1")
