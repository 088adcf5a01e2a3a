from __future__ import annotations

import urllib.error

import huggingface_hub.constants
import pytest
import segmentation_models_pytorch as smp
import torch

from trainables.errors import ModelError
from trainables.models import DECODERS
from trainables.models.build import build, split


@pytest.mark.parametrize("name", ["resnet18", "fpn:", "", "segformer-mit_b0"])
def test_a_name_without_decoder_and_encoder_is_refused(name):
    with pytest.raises(ModelError, match=r"^A model is named '<decoder>:<encoder>', such as 'segformer:mit_b0', got "):
        build(name, num_classes=3)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("fnp:resnet18", "Unknown decoder 'fnp'. Nearest: fpn."),
        (":resnet18", "Unknown decoder ''. Known: deeplabv3, deeplabv3plus, fpn, segformer, unet, upernet."),
        ("fpn:resnet19", "Unknown encoder 'resnet19'. Nearest: resnet18. timm's have the prefix 'tu-'."),
        ("fpn:pvt_v2_b0", "timm's have the prefix 'tu-'."),
        ("fpn:tu-pvt_v2_b00", "Unknown timm encoder 'tu-pvt_v2_b00'. Nearest: tu-pvt_v2_b0."),
    ],
)
def test_an_unknown_part_is_named_with_its_nearest(name, sentence):
    with pytest.raises(ModelError) as caught:
        split(name)
    assert str(caught.value).endswith(sentence)


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_is_built_on_a_cnn(decoder):
    model = build(f"{decoder}:resnet18", num_classes=3).eval()
    assert model(torch.zeros(1, 3, 64, 64)).logits.shape == (1, 3, 64 // model.stride, 64 // model.stride)


@pytest.mark.parametrize(
    "name",
    [
        "deeplabv3:densenet121",  # cannot be dilated
        "deeplabv3plus:tu-pvt_v2_b0",
        "fpn:tu-vit_tiny_patch16_224",  # one stride
        "fpn:tu-coat_lite_mini",  # one input size; timm asserts
        "fpn:tu-nest_tiny",  # fewer stages than asked for; timm indexes past a list
    ],
)
def test_two_parts_that_do_not_fit_are_refused_by_name(name):
    with pytest.raises(ModelError) as caught:
        build(name, num_classes=3)
    assert str(caught.value).startswith(f"Model {name!r} cannot be built: ")
    assert "\n" not in str(caught.value)


def test_deeplabv3_keeps_a_transformers_own_stride():
    model = build("deeplabv3:mit_b0", num_classes=3)
    assert model.stride == model.taps["stage4"].stride == 32
    assert model.taps["decoder"].channels == 256


def test_logits_are_those_of_the_library_before_its_upsampling():
    torch.manual_seed(0)
    ours = build("fpn:resnet18", num_classes=3).eval()
    torch.manual_seed(0)
    theirs = smp.create_model("fpn", "resnet18", encoder_weights=None, classes=3).eval()
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        upsampled = theirs.segmentation_head[1](ours(images).logits)
        torch.testing.assert_close(upsampled, theirs(images))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No hub, no cache of the hub, and no download from anywhere else."""

    def refuse(*_args, **_options):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


@pytest.mark.filterwarnings("ignore:Error loading .* from Hugging Face Hub:UserWarning")  # the library's own, at 0.5
@pytest.mark.parametrize(
    "name",
    [
        "fpn:resnet18",
        "deeplabv3:mobilenet_v2",
        "segformer:mit_b0",
        "deeplabv3:mit_b0",
        "deeplabv3:tu-pvt_v2_b0",
        "fpn:tu-pvt_v2_b0",
    ],
)
def test_weights_that_cannot_be_fetched_are_told_with_a_remedy(name, offline):
    encoder = name.partition(":")[2]
    with pytest.raises(ModelError) as caught:
        build(name, num_classes=3, pretrained=True)
    assert str(caught.value).startswith(f"ImageNet weights of {encoder!r} cannot be fetched (")
    assert "Set pretrained to false" in str(caught.value)
