"""Networks of other libraries, with random weights in their own formats, say here what they say there."""

from __future__ import annotations

import json

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from trainables.errors import TeacherError
from trainables.models.build import build
from trainables.models.fold import fold
from trainables.models.ready import load
from trainables.models.ready.cirkd import Cirkd

transformers = pytest.importorskip("transformers")

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
CLASSES = ("water", "forest", "shrubland", "savanna", "grassland")
SIZES = [(64, 96), (128, 64)]
LABELS = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: n for n, name in enumerate(CLASSES)}}


def images(size, batch=2):
    """RGB in [0, 1]."""
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(1))


def normalised(pixels, mean=MEAN, std=STD):
    return (pixels - torch.as_tensor(mean).view(3, 1, 1)) / torch.as_tensor(std).view(3, 1, 1)


@torch.no_grad()
def asked(name, size, **options):
    teacher = load.load(name, classes=CLASSES, **options)
    return teacher, teacher(normalised(images(size)))


def randomised(model):
    """Weights and statistics that are all at work: fresh ones leave BatchNorm and heads idle."""
    rng = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=rng)
            module.running_var.uniform_(0.5, 1.5, generator=rng)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=rng)
    return model.eval()


def segformer(depths, width):
    config = transformers.SegformerConfig(
        depths=depths, hidden_sizes=[8, 16, 24, 32], decoder_hidden_size=width, **LABELS
    )
    return transformers.SegformerForSemanticSegmentation(config)


def upernet():
    backbone = transformers.ConvNextConfig(
        hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], out_features=["stage1", "stage2", "stage3", "stage4"]
    )
    config = transformers.UperNetConfig(
        backbone_config=backbone, hidden_size=16, use_auxiliary_head=False, pool_scales=[1, 2], **LABELS
    )
    return transformers.UperNetForSemanticSegmentation(config)


def dpt():
    config = transformers.DPTConfig(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=64, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 12, 16, 24], fusion_hidden_size=12, **LABELS,
        use_auxiliary_head=False,
    )  # fmt: skip
    return transformers.DPTForSemanticSegmentation(config)


def mask2former():
    backbone = transformers.SwinConfig(
        embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, image_size=64,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone, hidden_dim=32, feature_size=32, mask_feature_size=32, num_queries=7, encoder_layers=1,
        decoder_layers=2, num_attention_heads=2, encoder_feedforward_dim=16, dim_feedforward=16, **LABELS,
    )  # fmt: skip
    return transformers.Mask2FormerForUniversalSegmentation(config)


SEMANTIC = {
    "segformer-b0": lambda: segformer([2, 2, 2, 2], 32),
    "segformer-b2": lambda: segformer([3, 4, 6, 3], 96),
    "upernet": upernet,
    "dpt": dpt,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Saves a model once: (model, folder)."""
    made = {}

    def give(name, make, **processor):
        if name not in made:
            torch.manual_seed(0)
            model, folder = randomised(make()), tmp_path_factory.mktemp(name)
            model.save_pretrained(folder)
            if processor:
                (folder / "preprocessor_config.json").write_text(json.dumps(processor))
            made[name] = model, folder
        return made[name]

    return give


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SEMANTIC)
@torch.no_grad()
def test_semantic_networks_of_transformers(saved, name, size):
    size = (size[0], size[0]) if name == "dpt" else size  # the library takes square images alone
    model, folder = saved(name, SEMANTIC[name], image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.3, 0.4])
    teacher, found = asked(f"hf:{folder}", size)
    expected = model(pixel_values=normalised(images(size), [0.5, 0.4, 0.3], [0.2, 0.3, 0.4])).logits
    got = F.interpolate(found.logits, size=expected.shape[-2:], mode="bilinear", align_corners=False)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    assert found.logits.shape[-2:] == (size[0] // teacher.stride, size[1] // teacher.stride)
    assert {"stage1", "stage2", "stage3", "stage4", "decoder"} == set(teacher.taps)
    for tap, (channels, stride) in teacher.taps.items():
        assert found.taps[tap].shape[1:] == (channels, size[0] // stride, size[1] // stride)


@torch.no_grad()
def test_what_takes_square_images_alone_is_given_stretched_ones(saved):
    model, folder = saved("dpt", dpt)
    teacher, found = asked(f"hf:{folder}", (64, 128))
    stretched = F.interpolate(normalised(images((64, 128))), size=(128, 128), mode="bilinear", align_corners=False)
    expected = F.interpolate(model(pixel_values=stretched).logits, found.logits.shape[-2:], mode="bilinear")
    torch.testing.assert_close(found.logits, expected, atol=1e-4, rtol=1e-4)
    assert found.logits.shape[-2:] == (64 // teacher.stride, 128 // teacher.stride)


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_a_mask_classifier_gives_the_logarithm_of_its_semantic_scores(saved, size):
    model, folder = saved("mask2former", mask2former)
    teacher, found = asked(f"hf:{folder}", size)
    said = model(pixel_values=normalised(images(size)))
    p = said.class_queries_logits.softmax(-1)[..., :-1]
    m = said.masks_queries_logits.sigmoid()
    scores = sum(p[:, q, :, None, None] * m[:, q, None] for q in range(p.shape[1]))
    expected = (scores / scores.sum(dim=1, keepdim=True)).log()
    torch.testing.assert_close(found.logits, expected, atol=1e-4, rtol=1e-4)
    assert teacher.stride == 4
    assert {"stage1", "stage2", "stage3", "stage4", "decoder"} == set(teacher.taps)


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_a_backbone_gives_features_alone_and_patches_of_14_pixels_stand_for_16(saved, size):
    def dinov2():
        return transformers.Dinov2Model(
            transformers.Dinov2Config(
                hidden_size=24, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14
            )
        )

    model, folder = saved("dinov2", dinov2)
    teacher, found = asked(f"hf:{folder}", size)
    assert not teacher.has_logits
    assert found.logits.shape[1] == 0
    resized = F.interpolate(
        normalised(images(size)), size=(size[0] // 16 * 14, size[1] // 16 * 14), mode="bilinear", align_corners=False
    )
    tokens = model(pixel_values=resized, output_hidden_states=True).hidden_states[-1][:, 1:]
    grid = size[0] // 16, size[1] // 16
    expected = tokens.transpose(1, 2).reshape(2, 24, *grid)
    torch.testing.assert_close(found.taps["stage4"], expected, atol=1e-4, rtol=1e-4)
    assert {tap.stride for tap in teacher.taps.values()} == {16}


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_a_folder_of_smp(saved, size):
    torch.manual_seed(0)
    model, folder = saved("smp", lambda: smp.create_model("fpn", "resnet18", encoder_weights=None, classes=5))
    teacher, found = asked(f"smp:{folder}", size)
    expected = model(normalised(images(size)))
    got = F.interpolate(found.logits, size=size, mode="bilinear", align_corners=True)  # as smp's head does
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    assert (teacher.stride, teacher.taps["stage4"].channels) == (4, 512)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["deeplabv3_resnet50", "lraspp_mobilenet_v3_large"])
@torch.no_grad()
def test_a_file_of_torchvisions_network(tmp_path, name, size):
    torch.manual_seed(0)
    model = randomised(torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=5))
    torch.save(model.state_dict(), tmp_path / "w.pth")
    if name.startswith("lraspp"):
        with pytest.raises(TeacherError, match=r"has no classifier\.4\.weight"):
            load.load(f"file:{tmp_path / 'w.pth'}@torchvision:{name}", classes=CLASSES)
        return
    teacher, found = asked(f"file:{tmp_path / 'w.pth'}@torchvision:{name}", size)
    expected = model(normalised(images(size)))["out"]
    got = F.interpolate(found.logits, size=size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    assert [teacher.taps[f"stage{n}"].stride for n in (1, 2, 3, 4)] == [4, 8, 8, 8]


def by_hand(weights, pixels):
    """The forward of CIRKD's DeepLabV3-ResNet50 from its checkpoint's tensors alone."""

    def conv(x, name, **options):
        return F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), **options)

    def norm(x, name):
        w = [weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, w[0], w[1], w[2], w[3])

    x = torch.relu(norm(conv(pixels, "pretrained.conv1", stride=2, padding=1), "pretrained.bn1"))
    x = torch.relu(norm(conv(x, "pretrained.conv2", padding=1), "pretrained.bn2"))
    x = F.max_pool2d(torch.relu(norm(conv(x, "pretrained.conv3", padding=1), "pretrained.bn3")), 3, 2, 1)
    for layer, blocks, stride, first, rest in ((1, 3, 1, 1, 1), (2, 4, 2, 1, 1), (3, 6, 1, 1, 2), (4, 3, 1, 2, 4)):
        for number in range(blocks):
            name, rate = f"pretrained.layer{layer}.{number}", first if number == 0 else rest
            step = stride if number == 0 else 1
            out = torch.relu(norm(conv(x, f"{name}.conv1"), f"{name}.bn1"))
            out = torch.relu(norm(conv(out, f"{name}.conv2", stride=step, padding=rate, dilation=rate), f"{name}.bn2"))
            out = norm(conv(out, f"{name}.conv3"), f"{name}.bn3")
            if number == 0:
                x = norm(conv(x, f"{name}.downsample.0", stride=step), f"{name}.downsample.1")
            x = torch.relu(out + x)
    parts = [torch.relu(norm(conv(x, "head.aspp.b0.0"), "head.aspp.b0.1"))]
    for branch, rate in ((1, 12), (2, 24), (3, 36)):
        name = f"head.aspp.b{branch}.block"
        parts.append(torch.relu(norm(conv(x, f"{name}.0", padding=rate, dilation=rate), f"{name}.1")))
    pooled = torch.relu(norm(conv(x.mean((2, 3), keepdim=True), "head.aspp.b4.gap.1"), "head.aspp.b4.gap.2"))
    parts.append(F.interpolate(pooled, size=x.shape[-2:], mode="bilinear", align_corners=True))
    x = torch.relu(norm(conv(torch.cat(parts, 1), "head.aspp.project.0"), "head.aspp.project.1"))
    x = torch.relu(norm(conv(x, "head.block.0", padding=1), "head.block.1"))
    return conv(x, "head.block.4")


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_a_checkpoint_of_cirkd_with_its_stem_prefix_channels_and_auxiliary_head(tmp_path, size):
    torch.manual_seed(0)
    weights = randomised(Cirkd("resnet50", 5)).state_dict()
    assert weights["pretrained.conv3.weight"].shape == (128, 64, 3, 3)
    kept = {f"module.{name}": value for name, value in weights.items()}
    kept["module.auxlayer.block.0.weight"] = torch.zeros(256, 1024, 3, 3)
    torch.save(kept, tmp_path / "teacher.pth")
    _, found = asked(f"file:{tmp_path / 'teacher.pth'}@cirkd:resnet50", size)
    blue_first = 255 * images(size)[:, [2, 1, 0]] - torch.tensor([104.00698793, 116.66876762, 122.67891434]).view(
        3, 1, 1
    )
    torch.testing.assert_close(found.logits, by_hand(weights, blue_first), atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_ours_by_its_file_is_itself_or_remapped(tmp_path):
    torch.manual_seed(0)
    model = randomised(build("fpn:resnet18", num_classes=5))
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, tmp_path / "w.safetensors")
    name = f"file:{tmp_path / 'w.safetensors'}@fpn:resnet18"
    _, found = asked(name, SIZES[0])
    assert torch.equal(found.logits, model(normalised(images(SIZES[0]))).logits)
    _, merged = asked(name, SIZES[0], wanted={"water": [0, 1], "forest": [2]})
    expected = found.logits.softmax(1)
    ours = torch.stack([expected[:, 0] + expected[:, 1], expected[:, 2]], 1)
    torch.testing.assert_close(merged.logits.softmax(1)[:, :2], ours / ours.sum(1, keepdim=True), atol=1e-5, rtol=1e-4)
    assert merged.logits.softmax(1)[:, 2:].abs().max() < 1e-30


@torch.no_grad()
def test_timm_in_a_folder_of_its_own_gives_its_own_features(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0, img_size=64).eval()
    timm.models.save_for_hf(model, tmp_path, model_config={"num_classes": 0})
    teacher, found = asked(f"timm:{tmp_path}", (64, 64))
    assert not teacher.has_logits
    config = json.loads((tmp_path / "config.json").read_text())["pretrained_cfg"]
    given = normalised(images((64, 64)), config["mean"], config["std"])
    expected = model.forward_intermediates(given, intermediates_only=True, norm=True, output_fmt="NCHW")[-1]
    torch.testing.assert_close(found.taps["stage4"], expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_wrapped_network_is_folded_like_any_teacher(saved):
    _, folder = saved("upernet", upernet)
    teacher, found = asked(f"hf:{folder}", SIZES[0])
    folded = fold(teacher)
    assert folded is not teacher
    torch.testing.assert_close(folded(normalised(images(SIZES[0]))).logits, found.logits, atol=1e-4, rtol=1e-4)


def test_it_never_trains(saved):
    _, folder = saved("segformer-b0", SEMANTIC["segformer-b0"])
    teacher = load.load(f"hf:{folder}", classes=CLASSES)
    teacher.train()
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hf:/nowhere/at/all", "is no folder"),
        ("hf:{empty}", "has no config.json, so it is no network of transformers"),
        ("hf:{empty}@main", "is a folder, which has no revision"),
        ("smp:{empty}", "is no network of segmentation-models-pytorch"),
        ("torchvision:deeplab", "Unknown segmentation network of torchvision 'deeplab'. Nearest: deeplabv3"),
        ("timm:no_such_thing", "Unknown backbone of timm"),
        ("file:/nowhere.pth@cirkd:resnet50", "is no file"),
        ("file:{weights}", "does not say of which network"),
        ("file:{weights}@cirkd:vgg", "Unknown network of cirkd 'vgg'"),
        ("file:{weights}@fpn:resnet18", "has no head.weight, so it is not of this network"),
        ("ready:nosuchmodule:net", "No module 'nosuchmodule'"),
    ],
)
def test_what_cannot_be_had_is_one_sentence(tmp_path, name, sentence):
    (tmp_path / "empty").mkdir()
    torch.save({"a.weight": torch.zeros(2)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=sentence):
        load.load(name.format(empty=tmp_path / "empty", weights=tmp_path / "w.pth"), classes=CLASSES)


def test_a_head_that_was_never_trained_is_refused(saved, tmp_path):
    model, _ = saved("segformer-b0", SEMANTIC["segformer-b0"])
    model.segformer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["SegformerForSemanticSegmentation"]}))
    with pytest.raises(TeacherError, match=r"lacks .* tensors of SegformerForSemanticSegmentation"):
        load.load(f"hf:{tmp_path}", classes=CLASSES)


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        ("GatedRepoError", "org/net is gated: accept its terms"),
        ("RevisionNotFoundError", "org/net has no revision 'v9'"),
        ("RepositoryNotFoundError", "The hub has no repository 'org/net'"),
        ("LocalEntryNotFoundError", "cannot be reached .* `hf download org/net` of revision v9, with config.json"),
        ("OfflineModeIsEnabled", "cannot be reached"),
    ],
)
def test_a_hub_that_refuses_is_one_sentence(monkeypatch, raised, sentence):
    from huggingface_hub import errors

    def refuse(*_, **__):
        kind = getattr(errors, raised)
        raise kind.__new__(kind)

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(TeacherError, match=sentence):
        load.load("hf:org/net@v9", classes=CLASSES)
