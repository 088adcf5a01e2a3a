"""Ray for the whole test session, and a study folder with both arms over a synthetic space."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager, suppress
from random import Random

import numpy as np
import pytest
from optuna.trial import TrialState
from PIL import Image

from explorer.study import StudySpec

NET = "mine_tiny:net"
TINY_STUDENT, TINY_TEACHER = "segformer:tu-test_efficientnet", "fpn:tu-test_resnet"
TINY_PAIRS = f"{TINY_TEACHER}>{TINY_STUDENT}", f"mit_b0>{TINY_STUDENT}"
TINY = """
from trainables.contracts import tiny
from trainables.models.segmodel import SegModel

def net(num_classes: int, channels: int = 3) -> SegModel:
    return tiny.network(num_classes=num_classes, channels=channels)
"""


@pytest.fixture(scope="session")
def free_ports():
    """That many ports on which nothing listens, below those that the kernel gives to outgoing connections (32768).

    One of the kernel's is taken by somebody in the seconds until a Ray listens on it.
    """

    def free(count=1):
        ports = []
        while len(ports) < count:
            with socket.socket() as probe, suppress(OSError):
                port = untried.pop()
                probe.bind(("127.0.0.1", port))
                ports.append(port)
        return ports

    untried = Random().sample(range(12000, 20000), 8000)  # Random() has a seed of its own
    return free


@pytest.fixture(scope="session")
def ray_local():
    """A two-core Ray of this process."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """A folder data set of 64x64 images with three classes that colour tells apart, and a test split."""
    root = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4), ("test", 2)):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            label = np.kron(rng.integers(0, 3, (4, 4)), np.ones((16, 16), int)).astype(np.uint8)
            image = (80 * label[..., None] + rng.integers(0, 60, (64, 64, 3))).astype(np.uint8)
            Image.fromarray(image).save(root / "images" / split / f"{number}.png")
            Image.fromarray(label).save(root / "labels" / split / f"{number}.png")
    (root / "dataset.yaml").write_text("name: tiny\nclasses: [a, b, c]\n")
    return root


@pytest.fixture(scope="session")
def tiny_spec(tiny_data):
    """A sweep of seconds: two teachers of both families, one small student, every trial four steps.

    But for the Transformer they are timm's own networks for tests.
    """
    crop = {"crop_height": 64, "crop_width": 64, "batch_size": 2}
    return {
        "name": "tiny",
        "space": {
            "pair": [*TINY_PAIRS],
            "lambda_kd": {"low": 0.01, "high": 10.0, "log": True},
            "lambda_hakd": {"low": 0.1, "high": 10.0, "log": True},
        },
        "base": {**crop, "data": str(tiny_data), "steps": 4, "eval_every": 1, "teacher_recipe": {**crop, "steps": 4}},
        "enqueue": [{"pair": pair} for pair in TINY_PAIRS],
        "num_trials": 6,
        "pruner": "successivehalving",
        "grace_period": 1,
        "reduction_factor": 2,
    }


@pytest.fixture(scope="session")
def own_code(tmp_path_factory):
    """In this context a folder with the user's own code, a module of this text, and a cache of teachers are in use."""

    @contextmanager
    def using(module, text):
        place = tmp_path_factory.mktemp("home")
        (place / f"{module}.py").write_text(text)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HETEROAKD_PATH", str(place))
            patch.setenv("HETEROAKD_CACHE", str(place / "cache"))
            yield place

    return using


@pytest.fixture(scope="module")
def home(own_code):
    """The folder, with mine_tiny.py."""
    with own_code("mine_tiny", TINY) as place:
        yield place


@pytest.fixture(scope="module")
def make_study(home):
    """Makes a study of short trials, each really trained, but told by hand: no Ray. Returns its spec and its arms."""
    from explorer.search.arms import open_arms, trial_directory
    from trainables.data.catalogue import open_dataset
    from trainables.run import run

    def make(directory, data, *, name="told", student=NET, num_trials=2, steps=2):
        crop = {"crop_height": 64, "crop_width": 64, "batch_size": 2, "steps": steps}
        base = {**crop, "method": "kd", "teacher": NET, "student": student, "data": str(data), "eval_every": steps}
        space = {"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}}
        base |= {"device": "cpu", "teacher_recipe": crop}
        spec = StudySpec.parse({"name": name, "space": space, "base": base, "num_trials": num_trials})
        directory.mkdir(exist_ok=True)
        spec.save(directory)
        arms = open_arms(spec, directory, data_digest=open_dataset(str(data)).digest(), new=True)
        for role, arm in arms.items():
            for _ in range(arm.num_trials):
                trial, config = arm.ask()
                last = run(config, directory=directory / trial_directory(role, trial.number))
                arm.report(trial, last.miou, last.step)
                arm.tell(trial, TrialState.COMPLETE, miou=last.miou, facts={"device": "cpu"})
        return spec, arms

    return make


@pytest.fixture(scope="session")
def make_spec():
    """Makes a study over lambda_kd of 20 trials of 9 steps, with changes."""

    def make(**values):
        defaults = {
            "space": {"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}},
            "base": {"steps": 9, "eval_every": 1},
            "num_trials": 20,
            "baseline_trials": 1,
            "grace_period": 1,
            "reduction_factor": 3,
        }
        return StudySpec.parse({**defaults, **values})

    return make


@pytest.fixture
def spec(make_spec):
    return make_spec
