from __future__ import annotations

import itertools

import pytest

from trainables import steptime


@pytest.fixture
def clock(monkeypatch):
    """Each step takes one second more than the one before."""
    starts = itertools.count()
    monkeypatch.setattr(steptime.time, "perf_counter", lambda: (n := next(starts)) // 2 + (n % 2) * (n // 2 + 1))


@pytest.mark.parametrize("method", ["task", "kd"])
def test_the_median_of_the_steps_after_warm_up_is_taken(method, clock, small):
    found = steptime.step_time(small(method=method), num_classes=5, ignore_index=255)
    assert found == (4.0, 1.0)  # steps of 1, 2 | 3, 4, 5 seconds


def test_on_a_cpu_a_smaller_step_is_timed_and_scaled_by_its_pixels(clock, small, monkeypatch):
    seen = []
    real = steptime.losses

    def watch(config, state, teacher, images, labels, device, *, sample):
        seen.append(tuple(images.shape))
        return real(config, state, teacher, images, labels, device, sample=sample)

    monkeypatch.setattr(steptime, "losses", watch)
    found = steptime.step_time(small(batch_size=8, crop_height=256, crop_width=512), num_classes=5, ignore_index=255)
    assert set(seen) == {(2, 3, 128, 128)}
    assert found.scaled == 4 * 2 * 4
    assert found.seconds == 4.0 * 32


def test_no_weights_are_fetched_or_read(small):
    config = small(pretrained=True, encoder_weights="/no/such/folder")
    assert steptime.step_time(config, num_classes=5, ignore_index=255).seconds > 0
