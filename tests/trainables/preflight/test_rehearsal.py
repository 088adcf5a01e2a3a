from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch

from trainables.bands import RGB
from trainables.models.build import build
from trainables.models.cost import cost
from trainables.preflight import rehearsal

DATA = SimpleNamespace(num_classes=5, ignore_index=255, bands=RGB)
FAST, LIBRARY = "trainables.contracts.tiny:learner", "fpn:tu-mobilenetv3_small_050"


@pytest.fixture
def clock(monkeypatch):
    """Step n, from 0, takes n + 1 seconds, of which the teacher half a second. It is looked at three times a step."""

    def now(calls=itertools.count()):
        number, part = divmod(next(calls), 3)
        return 100 * number + (0, 0.5, number + 1)[part]

    monkeypatch.setattr(rehearsal.time, "perf_counter", now)


@pytest.mark.parametrize(("method", "guided"), [("task", 0.0), ("kd", 0.5)])
def test_the_median_of_the_steps_after_warm_up_is_taken(method, guided, clock, small):
    found = rehearsal.step_time(small(method=method), dataset=DATA)
    assert found == (4.0, guided, 1.0)  # steps of 1, 2 | 3, 4, 5 seconds


def test_a_group_shares_the_teachers_part_of_a_step():
    time = rehearsal.StepTime(3.0, 2.0, 1.0)
    assert [time.shared_by(students) for students in (1, 2, 4)] == [3.0, 2.0, 1.5]


def test_multiply_accumulates_are_three_forwards_of_the_student_and_one_of_the_frozen_teacher(small):
    """Counted by hand from both networks' own forwards; `kd` multiplies nothing with anything by a matrix."""
    alone, taught = (small(method=method, student=LIBRARY, teacher=LIBRARY, batch_size=6) for method in ("task", "kd"))
    height, width = alone.padded_crop
    forward = cost(build(LIBRARY, num_classes=5), height=height, width=width).gmac
    found = [rehearsal.step_gmac(config, dataset=DATA) for config in (alone, taught)]
    assert found == pytest.approx([6 * 3 * forward, 6 * 4 * forward])


def test_on_a_cpu_a_smaller_step_is_timed_and_scaled_by_its_pixels(clock, small, monkeypatch):
    seen = []
    real = rehearsal.losses

    def watch(config, state, batch, guide, *, sample):
        seen.append(tuple(batch.pixels.shape))
        return real(config, state, batch, guide, sample=sample)

    monkeypatch.setattr(rehearsal, "losses", watch)
    found = rehearsal.step_time(small(batch_size=8, crop_height=256, crop_width=512), dataset=DATA)
    assert set(seen) == {(2, 3, 128, 128)}
    assert found.scaled == 4 * 2 * 4
    assert found.seconds == 4.0 * 32


def test_a_students_bytes_are_its_weights_and_two_moments_of_each(small):
    """By hand: AdamW keeps two fp32 numbers and a step for every parameter; gradients live only within a step."""
    found = rehearsal.footprint(small(student=LIBRARY), dataset=DATA)
    student = build(LIBRARY, num_classes=5)  # each of its weights gets a gradient
    parameters = [parameter.numel() for parameter in student.parameters()]
    buffers = sum(buffer.nbytes for buffer in student.buffers())
    random_state = torch.get_rng_state().nbytes
    assert found.each == 3 * 4 * sum(parameters) + 4 * len(parameters) + buffers + random_state
    assert found.shared > 4 * sum(parameters)  # gradients, and activations


def test_activations_grow_with_the_batch_and_a_teacher_is_there_once(small):
    def shared(**fields):
        return rehearsal.footprint(small(**fields), dataset=DATA).shared

    one, two = shared(batch_size=2, crop_height=128), shared(batch_size=4, crop_height=128)
    weights = sum(parameter.nbytes for parameter in build(FAST, num_classes=5).parameters())
    assert two - weights == pytest.approx(2 * (one - weights), rel=0.01)
    assert shared(method="kd", batch_size=2, crop_height=128) - one > weights


def test_activations_are_those_of_one_part_of_one_process_and_time_is_that_of_its_batch(small, clock):
    """A batch of 16 crops, on a CPU tried with 2: in parts of 4, or of 8 shared by 2 processes, a quarter is kept."""

    def shared(**fields):
        return rehearsal.footprint(small(batch_size=16, crop_height=128, crop_width=128, **fields), dataset=DATA).shared

    weights = sum(parameter.nbytes for parameter in build(FAST, num_classes=5).parameters())
    whole = shared() - weights
    for fields in ({"accumulate": 4}, {"accumulate": 2, "processes": 2}):
        assert shared(**fields) - weights == pytest.approx(whole / 4, rel=0.01)
    scaled = [rehearsal.step_time(small(batch_size=16, **fields), dataset=DATA).scaled for fields in (
        {}, {"accumulate": 4}, {"processes": 2}, {"processes": 8},
    )]  # fmt: skip
    assert scaled == [8.0, 8.0, 4.0, 1.0]


@pytest.mark.cuda
def test_on_cuda_parts_hold_less_than_the_whole_batch(small):
    """Measured there, part by part."""
    fields = {"batch_size": 16, "crop_height": 256, "crop_width": 256, "device": "cuda"}
    whole, parts = (rehearsal.footprint(small(**fields, accumulate=num), dataset=DATA).shared for num in (1, 8))
    assert parts < whole / 2


@pytest.mark.parametrize(("share", "students"), [(1.0, 7), (0.5, 2), (0.1, 1), (4.0, 7)])
def test_a_group_holds_what_fits_beside_what_is_there_once(share, students, monkeypatch):
    """0.8 * share * 1000 - 200 bytes for students of 80 in the worst case."""
    monkeypatch.setattr(rehearsal, "memory_bytes", lambda device: 1000)
    found = [rehearsal.Footprint(80, 100), rehearsal.Footprint(10, 200)]
    assert rehearsal.students_that_fit(found, torch.device("cpu"), share=share, most=8) == students
    assert rehearsal.students_that_fit(found, torch.device("cpu"), share=share, most=2) == min(2, students)


def test_no_weights_are_fetched_or_read(small):
    config = small(student=LIBRARY, pretrained=True, encoder_weights="/no/such/folder")
    assert rehearsal.step_time(config, dataset=DATA).seconds > 0


def test_nothing_is_compiled_for_a_rehearsal(small, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda *_, **__: pytest.fail("a network was compiled"))
    config = small(method="kd", compile="default")
    assert rehearsal.step_time(config, dataset=DATA).seconds > 0
    assert rehearsal.footprint(config, dataset=DATA).shared > 0
