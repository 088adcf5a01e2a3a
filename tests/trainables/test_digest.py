"""TrialConfig.digest counts what a trial reads and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trainables.config import TrialConfig, digest

KD, HAKD, TASK = {"method": "kd"}, {"method": "heteroakd"}, {"method": "task"}
DEEP = HAKD | {"projector_depth": 2}

UNREAD = [
    (KD, {"lambda_hakd": 7.0}),
    (KD, {"kmm": False}),
    (KD, {"projector_tap": "stage2"}),
    (TASK, {"temperature": 4.0}),
    (TASK, {"teacher": "fpn:resnet18"}),
    (TASK, {"teacher_recipe": {"lr": 0.5}}),
    (TASK, {"lambda_kd": 3.0}),
    (TASK | {"optimizer": "adamw"}, {"momentum": 0.5}),
    (HAKD, {"projector_width": 32}),
    (HAKD, {"projector_kernel": 3}),
    (HAKD | {"kem": False}, {"kem_axis": "space"}),
    (KD | {"teacher_checkpoint": "t.safetensors"}, {"teacher_recipe": {"lr": 0.5}}),
    (KD, {"teacher_recipe": {"momentum": 0.5}}),  # of an AdamW recipe
]
READ = [
    (KD, {"temperature": 4.0}),
    (KD, {"lambda_kd": 3.0}),
    (KD, {"teacher_recipe": {"lr": 0.5}}),
    (KD, {"teacher_checkpoint": "t.safetensors"}),
    (HAKD, {"lambda_hakd": 7.0}),
    (HAKD, {"kem_axis": "space"}),
    (DEEP, {"projector_width": 32}),
    (DEEP, {"projector_kernel": 3}),
    (TASK | {"optimizer": "sgd"}, {"momentum": 0.5}),
    (TASK, {"seed": 1}),
    (TASK, {"clip_norm": 1.0}),
]


def changed(base, change):
    return TrialConfig.parse(base | change).digest() != TrialConfig.parse(base).digest()


@pytest.mark.parametrize(("base", "change"), UNREAD)
def test_what_a_trial_does_not_read_does_not_count(base, change):
    assert not changed(base, change)


@pytest.mark.parametrize(("base", "change"), READ)
def test_what_a_trial_reads_counts(base, change):
    assert changed(base, change)


def test_methods_have_digests_of_their_own():
    assert len({TrialConfig(method=method).digest() for method in ("task", "kd", "heteroakd")}) == 3


def test_a_digest_is_sixteen_hex_digits_whatever_the_order_of_keys():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert len(digest({})) == 16
    assert int(digest({}), 16) >= 0


def test_a_digest_is_the_same_in_another_process():
    code = "from trainables.config import TrialConfig; print(TrialConfig().digest())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == TrialConfig().digest()
