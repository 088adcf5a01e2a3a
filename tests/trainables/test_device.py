"""A Mac's GPU is taken only where it is asked for and there; what CUDA does without waiting, it does with.

No Mac was at hand: these hold our own choices, with PyTorch's answers replaced, not what Metal computes.
"""

from __future__ import annotations

import pytest
import torch

from trainables import state
from trainables.compiled import compile_network
from trainables.config import TrialConfig
from trainables.device import (
    autocast,
    device_name,
    memory_bytes,
    memory_format,
    pick_device,
    release,
    send,
    synchronize,
)
from trainables.errors import ConfigError
from trainables.losses.kernel import check_kernel, pick_kernel
from trainables.preflight.rehearsal import Footprint, students_that_fit
from trainables.serving import samples

MPS = torch.device("mps")


@pytest.fixture
def mac(monkeypatch):
    """PyTorch as it would be on a Mac; the calls made to it, in order."""
    calls = []
    generator = torch.arange(44, dtype=torch.uint8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: calls.append("synchronize"))
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: calls.append("empty_cache"))
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 1000)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: generator.clone())
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda found: calls.append(found))
    return calls


def test_mps_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(
        ConfigError, match=r"^device is 'mps', but PyTorch finds no Apple GPU here\. Use auto or cpu\.$"
    ):
        pick_device(TrialConfig(device="mps"))


@pytest.mark.usefixtures("mac")
def test_mps_is_taken_when_asked_for_and_never_by_auto():
    assert pick_device(TrialConfig(device="mps")) == MPS
    assert pick_device(TrialConfig(device="auto")) == torch.device("cpu")
    assert device_name(TrialConfig(device="mps")).startswith("this Mac's GPU (")


def test_on_mps_nothing_is_cast_and_maps_keep_their_layout():
    config = TrialConfig(device="mps", amp=True)
    with autocast(config, MPS):
        assert not torch.is_autocast_enabled("mps")
    assert memory_format(config, MPS) == torch.contiguous_format


def test_only_cuda_is_sent_to_without_waiting():
    class Sent:
        def to(self, device, *, non_blocking):
            return device.type, non_blocking

    found = [send(Sent(), torch.device(kind)) for kind in ("cpu", "cuda", "mps")]
    assert found == [("cpu", False), ("cuda", True), ("mps", False)]


def test_a_clock_waits_for_mps_and_a_finished_trial_gives_its_memory_back(mac):
    synchronize(torch.device("cpu"))
    assert mac == []
    synchronize(MPS)
    release()
    assert mac == ["synchronize", "empty_cache"]


@pytest.mark.usefixtures("mac")
def test_a_group_is_sized_by_what_metal_recommends():
    assert memory_bytes(MPS) == 1000
    found = [Footprint(each=100, shared=150), Footprint(each=120, shared=100)]
    assert students_that_fit(found, MPS, share=1.0, most=9) == 5  # (0.8 x 1000 - 150) / 120 = 5.4
    assert students_that_fit(found, MPS, share=0.5, most=9) == 2  # (0.8 x 500 - 150) / 120 = 2.08


def test_dropout_on_mps_goes_on_where_a_checkpoint_left_it(mac):
    left = state._rng()
    state._set_rng(left)
    assert torch.equal(left["rng.mps"], torch.arange(44, dtype=torch.uint8))
    assert torch.equal(mac[0], left["rng.mps"])


def test_a_checkpoint_of_a_mac_is_read_where_there_is_no_mps(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    state._set_rng({"rng.cpu": torch.get_rng_state(), "rng.mps": torch.zeros(44, dtype=torch.uint8)})
    assert "rng.mps" not in state._rng()


@pytest.mark.usefixtures("mac")
def test_compile_and_triton_are_refused_on_mps_with_a_remedy(monkeypatch):
    with pytest.raises(ConfigError, match=r"^compile is 'default', but on device 'mps' it must be off\."):
        compile_network(torch.nn.Identity(), TrialConfig(device="mps", compile="default"))
    monkeypatch.setattr("trainables.losses.kernel.has_triton", lambda: True)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    asked = TrialConfig(device="mps", hakd_kernel="triton")
    with pytest.raises(ConfigError, match=r"but the device is an Apple GPU\. Use auto or lean\.$"):
        check_kernel(asked, "mps")
    assert pick_kernel(TrialConfig(device="mps", kem_axis="class"), num_classes=3, device=MPS) == "lean"


def test_a_trial_of_a_mac_is_looked_at_on_what_is_here(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert samples.here(TrialConfig(device="mps")).device == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert samples.here(TrialConfig(device="mps")).device == "mps"
