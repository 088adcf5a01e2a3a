"""An encoder's weights from a local file: what is loaded is what the file holds, or a sentence says why not."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file

from trainables.errors import ModelError
from trainables.models.build import build

TIMM = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def mobilenet():
    """What timm would publish: names of the whole classifier."""
    torch.manual_seed(3)
    return timm.create_model(TIMM).state_dict()


def of_resnet(seed):
    torch.manual_seed(seed)
    return timm.create_model("resnet18").state_dict()


def test_a_folder_serves_every_encoder_by_its_name(tmp_path, mobilenet):
    resnet = of_resnet(4)
    save_file(mobilenet, tmp_path / f"tu-{TIMM}.safetensors")
    torch.save(resnet, tmp_path / "resnet18.pth")
    small = build(f"fpn:tu-{TIMM}", num_classes=3, encoder_weights=str(tmp_path))
    assert torch.equal(small.encoder.model.conv_stem.weight, mobilenet["conv_stem.weight"])
    assert torch.equal(
        small.encoder.state_dict()["model.blocks.5.0.conv.weight"]
        if "model.blocks.5.0.conv.weight" in small.encoder.state_dict()
        else small.encoder.state_dict()["model.blocks_5_0.conv.weight"],
        mobilenet["blocks.5.0.conv.weight"],
    )
    large = build("fpn:resnet18", num_classes=3, encoder_weights=str(tmp_path))
    for name, value in large.encoder.state_dict().items():
        assert torch.equal(value, resnet[name]), name


def test_a_file_is_taken_as_it_is_and_wins_over_pretrained(tmp_path):
    resnet = of_resnet(5)
    save_file(resnet, tmp_path / "mine.safetensors")
    model = build("unet:resnet18", num_classes=3, pretrained=True, encoder_weights=str(tmp_path / "mine.safetensors"))
    assert torch.equal(model.encoder.layer4[1].conv2.weight, resnet["layer4.1.conv2.weight"])


def test_a_transformer_under_deeplabv3_is_loaded_too(tmp_path):
    torch.manual_seed(6)
    own = build("segformer:mit_b0", num_classes=3).encoder.state_dict()
    save_file(own, tmp_path / "mit_b0.safetensors")
    model = build("deeplabv3:mit_b0", num_classes=3, encoder_weights=str(tmp_path))
    assert all(torch.equal(value, own[name]) for name, value in model.encoder.state_dict().items())


def test_weights_of_another_network_are_refused(tmp_path, mobilenet):
    save_file(of_resnet(0), tmp_path / "r.safetensors")
    with pytest.raises(ModelError, match=rf"lacks \d+ tensors of 'tu-{TIMM}', such as 'conv_stem.weight'"):
        build(f"fpn:tu-{TIMM}", num_classes=3, encoder_weights=str(tmp_path / "r.safetensors"))
    save_file(mobilenet, tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match="cannot be built"):
        build("fpn:resnet18", num_classes=3, encoder_weights=str(tmp_path / "m.safetensors"))


@pytest.mark.parametrize("encoder", ["resnet18", f"tu-{TIMM}"])
def test_a_file_of_something_else_than_named_tensors_is_one_sentence(tmp_path, encoder):
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ModelError, match=r"list\.pth holds no weights"):
        build(f"fpn:{encoder}", num_classes=3, encoder_weights=str(tmp_path / "list.pth"))


def test_a_missing_or_damaged_file_is_one_sentence(tmp_path):
    with pytest.raises(ModelError, match=r"is no file and holds no resnet18\.safetensors"):
        build("fpn:resnet18", num_classes=3, encoder_weights=str(tmp_path))
    for name in ("resnet18.safetensors", "resnet18.pth"):
        broken = tmp_path / name
        broken.write_bytes(b"no weights at all")
        with pytest.raises(ModelError, match="holds no weights"):
            build("fpn:resnet18", num_classes=3, encoder_weights=str(broken))
