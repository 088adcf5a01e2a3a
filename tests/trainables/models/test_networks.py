"""Every network the pairs are made of keeps SegModel's contract."""

from __future__ import annotations

import pytest
import torch

from search_spaces.pairs import NETWORKS
from trainables.kept import checkpoint
from trainables.models.build import build

LIGHT = [name for name in NETWORKS if name not in {"mit_b4", "dl_mit_b4", "r101", "swin_t"}]  # the rest is not trained
TAPS = ["stage1", "stage2", "stage3", "stage4", "decoder"]
CHANNELS = {  # stage1..4, from the papers of the architectures
    "r18": (64, 128, 256, 512),
    "fpn_r18": (64, 128, 256, 512),
    "r101": (256, 512, 1024, 2048),
    "mit_b0": (32, 64, 160, 256),
    "mit_b4": (64, 128, 320, 512),
    "dl_mit_b4": (64, 128, 320, 512),
    "pvt_b0": (32, 64, 160, 256),
    "swin_t": (96, 192, 384, 768),
    "edgenext": (24, 48, 88, 168),
}
DILATED = {"r18", "r101", "mbv2"}  # DeepLabV3 on a CNN: output stride 8
LOGIT_STRIDE = dict.fromkeys(NETWORKS, 4) | dict.fromkeys(DILATED, 8) | {"dl_mit_b4": 32}


@pytest.fixture(scope="module", params=list(NETWORKS))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def built(name):
    torch.manual_seed(0)
    return build(NETWORKS[name].model, num_classes=7)


def images(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_building_probes_without_a_trace(built):
    """In train mode, and no BatchNorm has seen the probe."""
    assert all(module.training for module in built.modules())
    assert all(parameter.requires_grad for parameter in built.parameters())
    counts = [value for key, value in built.state_dict().items() if key.endswith("num_batches_tracked")]
    assert all(count == 0 for count in counts)


def test_taps_and_logits_are_as_declared_on_another_size_than_the_probes(name, built):
    built.eval()
    with torch.no_grad():
        found = built(images(1, 3, 96, 160))
    assert list(found.taps) == list(built.taps) == TAPS
    for tap, (channels, stride) in built.taps.items():
        assert found.taps[tap].shape == (1, channels, 96 // stride, 160 // stride), tap
    assert built.stride == LOGIT_STRIDE[name]
    assert found.logits.shape == (1, 7, 96 // built.stride, 160 // built.stride)
    assert found.logits.isfinite().all()


def test_stages_have_the_architectures_channels_and_strides(name, built):
    channels, strides = zip(*(built.taps[f"stage{i}"] for i in range(1, 5)), strict=True)
    assert channels == CHANNELS.get(name, channels)
    assert strides == ((4, 8, 8, 8) if name in DILATED else (4, 8, 16, 32))


@pytest.mark.parametrize("name", LIGHT, indirect=True)
def test_every_weight_gets_a_gradient(built):
    built.train().zero_grad()
    built(images(2, 3, 64, 64)).logits.square().mean().backward()
    for key, parameter in built.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", LIGHT, indirect=True)
def test_the_last_stage_moves_by_a_loss_on_its_tap(built):
    built.train().zero_grad()
    built(images(2, 3, 64, 64)).taps["stage4"].square().mean().backward()
    first = next(built.encoder.parameters())
    assert first.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in built.head.parameters())


def test_weights_survive_a_checkpoint(built, tmp_path):
    """None share memory, which safetensors would refuse."""
    checkpoint.write(tmp_path / "weights.safetensors", built.state_dict(), {})
    found, _ = checkpoint.load(tmp_path / "weights.safetensors")
    assert found.keys() == built.state_dict().keys()
    built.load_state_dict(found)
