"""A network for the hub: the folder that segmentation-models-pytorch opens, its card, what is pushed. No network."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file

import explorer
from explorer.bundle import hub
from explorer.bundle.export import export
from trainables.data.catalogue import open_dataset
from trainables.errors import ConfigError, ModelError, StudyError
from trainables.models.build import build, library_model
from trainables.models.licences import published_encoder
from trainables.models.ready.load import load
from trainables.published import MEAN, STD

NETWORK = "fpn:mobilenet_v2"
TOKEN = "hf_" + "x" * 20


@pytest.fixture(scope="module")
def made(make_study, tiny_data, tmp_path_factory):
    """(bundle, the folder for the hub, metrics)."""
    root = tmp_path_factory.mktemp("hub")
    make_study(root / "study", tiny_data, student=NETWORK, num_trials=1, steps=1)
    metrics = export(root / "study", root / "best", graphs=False, for_hub=root / "hub")
    return root / "best", root / "hub", metrics


def prepared_by_hand(data, name="val/0.png"):
    image = np.array(Image.open(data / "images" / name).convert("RGB")) / 255
    return torch.from_numpy((image - np.array(MEAN)) / np.array(STD)).float().permute(2, 0, 1)[None]


def test_the_library_opens_it_and_says_the_same(made, tiny_data):
    import segmentation_models_pytorch as smp  # after ours, which cure torchvision

    bundle, folder, _ = made
    theirs, ours = smp.from_pretrained(str(folder)).eval(), build(NETWORK, num_classes=3).eval()
    ours.load_state_dict(load_file(bundle / "student.safetensors"))
    pixels = prepared_by_hand(tiny_data)
    with torch.no_grad():
        logits = theirs.segmentation_head[0](theirs.decoder(theirs.encoder(pixels)))
        torch.testing.assert_close(logits, ours(pixels).logits, rtol=0, atol=1e-5)
        assert theirs(pixels).shape[-2:] == pixels.shape[-2:]


def test_normalisation_and_classes_travel_with_it(made, tiny_data):
    """As the file says, and as it teaches here again."""
    bundle, folder, _ = made
    told = json.loads((folder / "preprocessor_config.json").read_text())
    assert told["image_mean"] == pytest.approx(MEAN)
    assert told["image_std"] == pytest.approx(STD)
    assert told["rescale_factor"] == pytest.approx(1 / 255)
    assert told["id2label"] == {"0": "a", "1": "b", "2": "c"}
    told["image_mean"], told["id2label"] = [0.5, 0.4, 0.3], {"0": "c", "1": "a", "2": "b"}
    other = folder.parent / "other"
    shutil.copytree(folder, other)
    (other / "preprocessor_config.json").write_text(json.dumps(told))
    teacher = load(f"smp:{other}", classes=("a", "b", "c"), wanted="name")
    pixels = prepared_by_hand(tiny_data)
    shifted = pixels + (torch.tensor(MEAN) - torch.tensor([0.5, 0.4, 0.3])).view(1, 3, 1, 1) / torch.tensor(STD).view(
        1, 3, 1, 1
    )
    ours = build(NETWORK, num_classes=3).eval()
    ours.load_state_dict(load_file(bundle / "student.safetensors"))
    with torch.no_grad():
        expected = ours(shifted).logits.log_softmax(dim=1)[:, [1, 2, 0]]
        torch.testing.assert_close(teacher(pixels).logits.log_softmax(dim=1), expected, rtol=0, atol=1e-4)


def test_the_card_has_front_matter_that_the_hub_reads(made):
    _, folder, metrics = made
    card = ModelCard.load(folder / "README.md")
    found = card.data.to_dict()
    (result,) = [one for one in card.data.eval_results if one.dataset_split == "val"]
    assert (result.metric_type, result.metric_value) == ("mean_iou", metrics["splits"]["val"]["miou"])
    assert found["library_name"] == "segmentation-models-pytorch"
    assert found["pipeline_tag"] == "image-segmentation"
    assert found["license"] == "unknown"
    assert "base_model" not in found
    assert result.dataset_name == found["model-index"][0]["results"][0]["dataset"]["name"]
    assert yaml.safe_load((folder / "README.md").read_text().split("---")[1]) == found


def test_the_card_names_no_file_that_is_not_there_and_its_code_runs(made, tiny_data, monkeypatch):
    _, folder, _ = made
    text = (folder / "README.md").read_text()
    assert {path.name for path in folder.iterdir()} == {*hub.FILES}
    for name in ("best.yaml", "trials.csv", "student.safetensors", "provenance.json"):
        assert name not in text
    monkeypatch.chdir(folder)
    image = np.array(Image.open(tiny_data / "images/val/0.png").convert("RGB"))
    names = {"image": image}
    exec(text.split("```python\n")[1].split("```")[0], names)
    assert tuple(names["ids"].shape) == image.shape[:2]


def test_licence_and_base_model_are_said_where_they_are_known(made, tiny_data):
    config = SimpleNamespace(student="segformer:mit_b0", pretrained=True)
    dataset = open_dataset(str(tiny_data))
    metrics = {"splits": {"val": {"miou": 0.5}}}
    told = hub._front(metrics, config, dataset, None).to_dict()
    assert (told["license"], told["license_name"]) == ("other", "nvidia-source-code-license")
    assert told["base_model"] == "smp-hub/mit_b0.imagenet"
    told = hub._front(metrics, config, dataset, "cc-by-4.0").to_dict()
    assert told["license"] == "cc-by-4.0"
    assert "license_name" not in told
    assert published_encoder("fpn:tu-pvt_v2_b0") == "timm/pvt_v2_b0.in1k"


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        ("mine_tiny:net", "is no network of segmentation-models-pytorch"),
        ("deeplabv3:tu-pvt_v2_b0", "is put together here"),
    ],
)
def test_a_network_that_the_library_does_not_have_is_refused_in_one_sentence(home, network, sentence):
    with pytest.raises(ModelError, match=sentence):
        library_model(network, num_classes=3)


def test_what_cannot_be_written_is_refused_before_the_scoring(made, tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr("explorer.bundle.export.evaluate_weights", lambda *_: pytest.fail("it was scored"))
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files than a network for the hub"):
        export(made[0].parent / "study", tmp_path / "best", graphs=False, for_hub=tmp_path)


@pytest.fixture
def api(monkeypatch):
    """The hub's client, which keeps what it is told."""
    calls = []

    class Api:
        def __init__(self, **told):
            calls.append(("client", told))

        def create_repo(self, name, **told):
            calls.append(("create", {"name": name, **told}))

        def upload_folder(self, **told):
            calls.append(("upload", told))
            return SimpleNamespace(commit_url="https://hub/us/net/commit/1")

    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return calls


def test_the_five_files_are_pushed_privately_and_the_token_is_written_nowhere(made, api, capfd):
    _, folder, _ = made
    assert explorer.push(folder, "us/net") == "https://hub/us/net/commit/1"
    assert api[0] == ("client", {"token": TOKEN})
    assert api[1] == ("create", {"name": "us/net", "private": True, "exist_ok": True})
    assert sorted(api[2][1]["allow_patterns"]) == sorted(hub.FILES)
    assert (api[2][1]["repo_id"], api[2][1]["folder_path"]) == ("us/net", folder)
    assert TOKEN not in "".join(capfd.readouterr())
    assert not [path for path in folder.parent.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_what_the_hub_refuses_is_one_sentence_without_the_token(made, api, monkeypatch):
    def refuse(self, name, **told):
        raise OSError(f"401 for Authorization: {TOKEN}.\nmore")

    monkeypatch.setattr(hub.HfApi, "create_repo", refuse)
    with pytest.raises(StudyError) as told:
        explorer.push(made[1], "us/net")
    assert str(told.value) == "The hub took nothing for 'us/net': 401 for Authorization: ***. more."


def test_a_push_without_a_token_or_a_folder_says_what_to_do(made, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="HF_TOKEN is not set"):
        explorer.push(made[1], "us/net")
    with pytest.raises(ConfigError, match=r"has no config.json. `heteroakd export STUDY --hub"):
        explorer.push(tmp_path, "us/net")
