"""Networks for images of other than 3 channels: what their first convolution is made of, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from trainables.errors import ModelError
from trainables.models import DECODERS
from trainables.models.build import build
from trainables.models.cost import cost
from trainables.models.fold import fold

TIMM = "mobilenetv3_small_050"


def by_hand(weight, channels):
    """Summed for one channel; else channel i is that of RGB's i mod 3, times 3 / channels."""
    rgb = weight.numpy().astype(np.float64)
    if channels == 1:
        return rgb.sum(axis=1, keepdims=True)
    return np.stack([rgb[:, number % 3] for number in range(channels)], axis=1) * 3 / channels


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of encoders' weights for RGB, and their first convolutions."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(3)
    held = {"resnet18": timm.create_model("resnet18").state_dict(), f"tu-{TIMM}": timm.create_model(TIMM).state_dict()}
    held["mit_b0"] = build("segformer:mit_b0", num_classes=2).encoder.state_dict()
    for name, tensors in held.items():
        save_file(tensors, folder / f"{name}.safetensors")
    first = {"resnet18": "conv1.weight", f"tu-{TIMM}": "conv_stem.weight", "mit_b0": "patch_embed1.proj.weight"}
    return folder, {name: held[name][first[name]] for name in held}


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
@pytest.mark.parametrize("name", ["fpn:resnet18", f"fpn:tu-{TIMM}", "segformer:mit_b0"])
def test_the_first_convolution_is_summed_or_repeated_and_scaled(weights, name, channels):
    folder, first = weights
    encoder = name.partition(":")[2]
    model = build(name, num_classes=3, channels=channels, encoder_weights=str(folder))
    found = next(one for one in model.encoder.modules() if isinstance(one, torch.nn.Conv2d)).weight
    np.testing.assert_allclose(found.detach().numpy(), by_hand(first[encoder], channels), rtol=1e-5, atol=1e-7)
    rgb = build(name, num_classes=3, encoder_weights=str(folder)).encoder.state_dict()
    others = {key: value for key, value in model.encoder.state_dict().items() if value.shape != found.shape}
    assert len(others) > 10
    assert all(torch.equal(value, rgb[key]) for key, value in others.items())


def test_weights_of_as_many_channels_are_taken_as_they_are_and_others_refused(tmp_path):
    for encoder, maker in (("resnet18", "resnet18"), (f"tu-{TIMM}", TIMM)):
        for channels in (4, 5):
            torch.manual_seed(channels)
            tensors = timm.create_model(maker, in_chans=channels).state_dict()
            save_file(tensors, tmp_path / f"{encoder}.safetensors")
            if channels == 4:
                model = build(f"fpn:{encoder}", num_classes=3, channels=4, encoder_weights=str(tmp_path))
                own = next(one for one in model.encoder.modules() if isinstance(one, torch.nn.Conv2d)).weight
                assert torch.equal(own, next(iter(tensors.values())))
            else:
                with pytest.raises(ModelError, match=f"Model 'fpn:{encoder}' cannot be built"):
                    build(f"fpn:{encoder}", num_classes=3, channels=4, encoder_weights=str(tmp_path))


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_takes_four_channels_and_can_be_folded_and_counted(decoder):
    model = build(f"{decoder}:resnet18", num_classes=3, channels=4).eval().requires_grad_(False)
    images = torch.rand(2, 4, 64, 96)
    with torch.no_grad():
        said, folded = model(images), fold(model)(images)
    assert said.logits.shape == (2, 3, 64 // model.stride, 96 // model.stride)
    torch.testing.assert_close(folded.logits, said.logits, rtol=1e-3, atol=1e-4)
    rgb = build(f"{decoder}:resnet18", num_classes=3)
    more = cost(model, height=64, width=96).parameters_millions - cost(rgb, height=64, width=96).parameters_millions
    assert more * 1e6 == pytest.approx(64 * 7 * 7)  # of the first convolution's fourth channel


def test_an_own_network_that_is_not_told_of_channels_is_refused(tmp_path, monkeypatch):
    (tmp_path / "mine_rgb.py").write_text(
        "from trainables.contracts import tiny\nfrom trainables.models.segmodel import SegModel\n"
        "def net(num_classes: int) -> SegModel:\n    return tiny.network(num_classes=num_classes)\n"
        "def deaf(num_classes: int, channels: int = 3) -> SegModel:\n    return tiny.network(num_classes=num_classes)\n"
    )
    monkeypatch.setenv("HETEROAKD_PATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert build("trainables.contracts.tiny:learner", num_classes=3, channels=4).channels == 4
    sentence = "'mine_rgb:net' is for images of 3 channels, but the data set has 4. Add the parameter channels."
    for name, said in (
        ("net", sentence),
        ("deaf", "'mine_rgb:deaf' must have the attribute channels 4, got 3."),
    ):
        with pytest.raises(ModelError) as caught:
            build(f"mine_rgb:{name}", num_classes=3, channels=4)
        assert str(caught.value) == said
