"""A tiny data set on disk, tiny networks that keep SegModel's contract, configs that train in a second."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from trainables.config import TrialConfig
from trainables.contracts import tiny
from trainables.contracts.tiny import NUM_CLASSES
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.models.segmodel import Features, SegModel
from trainables.state import TrialState
from trainables.teachers import freeze, load_teacher

SIZES = {"train": [(48, 64)] * 4, "val": [(48, 64), (48, 64), (33, 50)], "test": [(64, 64)]}
FAST = "trainables.contracts.tiny:learner"


@pytest.fixture(scope="session", autouse=True)
def _seeds_for_the_devices_that_are_there() -> Iterator[None]:
    """`torch.manual_seed` writes down its whole stack for each kind of device, in case it is initialised later.

    Under pytest that takes 2 ms, and was a quarter of the time of the loss battery.
    """
    with pytest.MonkeyPatch.context() as patch:
        for device in (getattr(torch, name, None) for name in ("cuda", "xpu", "mtia")):
            if hasattr(device, "manual_seed_all") and not device.is_available():
                patch.setattr(device, "manual_seed_all", lambda _seed: None)
        yield


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blocks of class ids, a tenth of them ignored; an image's red channel is 50 times its id. No pixel has id 4."""
    root = tmp_path_factory.mktemp("data") / "tiny"
    rng = np.random.default_rng(0)
    for split, sizes in SIZES.items():
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number, (height, width) in enumerate(sizes):
            blocks = rng.integers(0, NUM_CLASSES - 1, (8, 8), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
            ids = blocks[:height, :width]
            noise = rng.integers(0, 256, (height, width, 2), dtype=np.uint8)
            Image.fromarray(np.dstack([ids * 50, noise])).save(root / "images" / split / f"r{number}.png")
            labels = np.where(rng.random(ids.shape) < 0.1, 255, ids).astype(np.uint8)
            Image.fromarray(labels).save(root / "labels" / split / f"r{number}.png")
    (root / "dataset.yaml").write_text(yaml.safe_dump({"name": "tiny", "classes": list("abcde")}))
    return root


@pytest.fixture(scope="session")
def dataset(folder: Path) -> SegDataset:
    return open_dataset(str(folder))


@pytest.fixture(scope="session")
def small(folder: Path) -> Callable[..., TrialConfig]:
    """A valid config on the tiny data: 6 steps of 2 crops of 64 pixels, evaluated every 2."""
    recipe = {"steps": 6, "batch_size": 2, "crop_height": 64, "crop_width": 64}
    trial = {"method": "task", "student": FAST, "teacher": FAST, "data": str(folder), "eval_every": 2}
    teacher = {"teacher_recipe": recipe | {"steps": 2}}

    def make(**fields: object) -> TrialConfig:
        return TrialConfig.parse({**recipe, **trial, **teacher, "device": "cpu", **fields})

    return make


@pytest.fixture(scope="session")
def network() -> Callable[..., SegModel]:
    """A SegModel of a few hundred weights; logits at stride 2 ** stage."""
    return tiny.network


@pytest.fixture(scope="session")
def teacher(network: Callable[..., SegModel]) -> SegModel:
    """Frozen, of other channels and logit stride than students have."""
    return freeze(network(7, stage=3, width=6))


@pytest.fixture(scope="session")
def features() -> Callable[..., Features]:
    """Random features of a network, given the grids of its logits and of its taps; leaves that require gradients."""
    return tiny.features


@pytest.fixture(scope="session")
def random_labels() -> Callable[..., torch.Tensor]:
    """Ids 0..4, a fifth of the pixels ignored (255)."""
    return tiny.random_labels


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory, small: Callable[..., TrialConfig], dataset: SegDataset) -> Path:
    """A cache that holds the teacher of every `small` config that changes nothing about its teacher."""
    path = tmp_path_factory.mktemp("cache")
    load_teacher(small(method="kd"), dataset=dataset, cache=path)
    return path


@pytest.fixture(scope="session")
def fresh() -> Callable[..., BaseProcess]:
    """Starts a process that runs some code, given names: one that has imported the package and done nothing else.

    All are forked from one server, so that PyTorch's seconds of import are paid once.
    """
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["trainables.loop", "trainables.kept.store", "trainables.teachers"])

    def start(code: str, **names: object) -> BaseProcess:
        here = "import os; os.environ.clear(); os.environ.update(environment)\n"
        process = server.Process(target=exec, args=(here + code, {**names, "environment": dict(os.environ)}))
        process.start()
        return process

    return start


@pytest.fixture(scope="session")
def outcome() -> Callable[[TrialState], dict[str, object]]:
    """All that a trial is, but for its seconds; tensors as (dtype, shape, bytes), so that == is bit for bit."""

    def frozen(tensor: torch.Tensor) -> tuple[object, ...]:
        return tensor.dtype, tuple(tensor.shape), tensor.numpy().tobytes()

    def describe(state: TrialState) -> dict[str, object]:
        tensors = {name: frozen(value) for name, value in state.tensors().items()}
        history = [{**report.__dict__, "seconds": None} for report in state.history]
        return {"tensors": tensors, "history": history, "step": state.step}

    return describe
