"""Code of the user's own: found by name, called only if it says what it is, told in one sentence where it is wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trainables import own
from trainables.config import TrialConfig
from trainables.data.catalogue import absolute, open_dataset
from trainables.errors import ConfigError, DataError, HeteroakdError, ModelError
from trainables.losses.find import find_method
from trainables.losses.kd import Kd
from trainables.models.build import build, is_own
from trainables.run import run
from trainables.teachers import cached_path

CODE = """
import torch
from pathlib import Path
from torch import nn
from trainables.contracts import tiny
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.losses.kd import Kd
from trainables.models.segmodel import SegModel

calls = []

def unmarked(num_classes): calls.append(1)
def no_classes() -> SegModel: calls.append(1)
def wrong(num_classes: int) -> SegModel: return nn.Conv2d(3, num_classes, 1)
def falls(num_classes: int) -> SegModel: raise KeyError("weights")
def leaves(num_classes: int) -> SegModel: raise SystemExit(3)
def net(num_classes: int) -> SegModel: return tiny.network(num_classes=num_classes)
def warm(num_classes: int, pretrained: bool = False) -> SegModel:
    calls.append(pretrained)
    return net(num_classes)

class Tiny(SegModel):
    def __init__(self, num_classes):
        plain = net(num_classes)
        super().__init__(plain.encoder, plain.decoder, plain.head)

class Own(Kd):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.weights["loss_kd"] = self.config.own["alpha"]

class Pair(Kd):
    needs_peer = True

def given(root: Path) -> SegDataset: return open_dataset(str(root))
def either(root: Path = Path("nowhere")) -> SegDataset: return open_dataset(str(root))
def alone() -> SegDataset: return open_dataset("earth")
def two(root: Path, other: Path) -> SegDataset: calls.append(1)
def nothing() -> SegDataset: return None
def torn() -> SegDataset: raise OSError("disk on fire")
plain = 3
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """A folder with modules of the user's: `mine_1`, one that fails at import, one whose dependency is missing."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "mine_1.py").write_text(CODE)
    (folder / "mine_falls.py").write_text("1 / 0")
    (folder / "mine_leaves.py").write_text("raise SystemExit(0)")
    (folder / "mine_needs.py").write_text("import not_installed_anywhere")
    (folder / "mine_package").mkdir()
    (folder / "mine_package/__init__.py").write_text("")
    (folder / "mine_package/nets.py").write_text(CODE)
    return folder


@pytest.fixture(autouse=True)
def here(code, monkeypatch):
    """In that folder; sys.path is put back."""
    monkeypatch.chdir(code)
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def calls(here):
    find_method("mine_1:Own")  # imports it
    found = sys.modules["mine_1"].calls
    found.clear()
    return found


def test_a_loss_a_network_and_a_data_set_are_found_by_name(folder):
    assert issubclass(find_method("mine_1:Own"), Kd)
    assert build("mine_1:Tiny", num_classes=3).head.out_channels == 3
    assert build("mine_package.nets:net", num_classes=4).head.out_channels == 4
    assert open_dataset(f"mine_1:given:{folder}").num_classes == 5
    assert open_dataset("mine_1:alone").name == "earth"


def test_a_folder_of_the_environment_is_looked_in(code, monkeypatch, tmp_path):
    (tmp_path / "mine_elsewhere.py").write_text(CODE)
    monkeypatch.setenv(own.PATH, str(tmp_path))
    assert find_method("mine_elsewhere:Own").__module__ == "mine_elsewhere"
    assert own.folders() == [str(tmp_path), str(code)]


def test_no_module_of_ours_or_of_python_is_replaced(code):
    """In a process of its own; without PyTorch, whose import takes seconds."""
    (code / "json.py").write_text("raise RuntimeError('replaced')")
    (code / "mine_plain.py").write_text("class Own: pass")
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.pop(0); {IMPORT}"], cwd=code, capture_output=True, text=True
    )
    (code / "json.py").unlink()
    assert found.stdout == "Own json\n", found.stderr


IMPORT = "from trainables import errors, own; " + (
    "name = own.load('mine_plain:Own', wanted='', accepts=bool, error=errors.HeteroakdError).__name__; "
    "sys.modules.pop('json', None); import json; print(name, json.__name__)"
)


REFUSED = {
    "nowhere:Thing": "No module 'nowhere' for 'nowhere:Thing'. Run from the folder that holds it, or name that folder "
    "in HETEROAKD_PATH.",
    "mine_package.none:Thing": "No module 'mine_package.none' for ",
    "mine_1:Onw": "Unknown name in mine_1 (",
    "mine_falls:Thing": "'mine_falls:Thing' raised ZeroDivisionError while it was imported: division by zero",
    "mine_leaves:Thing": "'mine_leaves:Thing' raised SystemExit while it was imported: 0",
    "mine_needs:Thing": "'mine_needs:Thing' raised ModuleNotFoundError while it was imported: No module named 'not_",
    "mine_1:plain": "'mine_1:plain' must be a subclass of Criterion (trainables/losses/criterion.py), got a value of "
    "type int.",
    "mine_1:Tiny": "'mine_1:Tiny' must be a subclass of Criterion (trainables/losses/criterion.py), got the class ",
    "os:abort": "'os:abort' must be a subclass of Criterion (trainables/losses/criterion.py), got the function abort.",
    "a b:c": "Code of your own is named package.module:name, got 'a b:c'.",
    "mine_1:Own:more": "Code of your own is named package.module:name, got 'mine_1:Own:more'.",
}


@pytest.mark.parametrize(("name", "sentence"), REFUSED.items())
def test_what_is_no_loss_is_refused_in_a_sentence(name, sentence):
    with pytest.raises(ConfigError) as caught:
        find_method(name)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


NETWORKS = {
    "os:abort": "'os:abort' must be a subclass of SegModel or a function annotated -> SegModel, which takes ",
    "mine_1:unmarked": "'mine_1:unmarked' must be a subclass of SegModel or ",
    "mine_1:no_classes": "'mine_1:no_classes' must be a subclass of SegModel or ",
    "mine_1:SegModel": "'mine_1:SegModel' must be a subclass of SegModel or ",
    "mine_1:wrong": "'mine_1:wrong' must give a SegModel, got Conv2d.",
    "mine_1:falls": "'mine_1:falls' raised KeyError while it was built: 'weights'",
    "mine_1:leaves": "'mine_1:leaves' raised SystemExit while it was built: 3",
}


@pytest.mark.parametrize(("name", "sentence"), NETWORKS.items())
def test_what_is_no_network_is_refused_before_it_is_called(name, sentence, calls):
    with pytest.raises(ModelError) as caught:
        build(name, num_classes=3)
    assert str(caught.value).startswith(sentence)
    assert calls == []


def test_pretrained_goes_to_networks_that_take_it(calls):
    build("mine_1:warm", num_classes=3, pretrained=True)
    assert calls == [True]
    with pytest.raises(ModelError, match=r"^'mine_1:net' takes no pretrained, got True\. Leave pretrained out, or add"):
        build("mine_1:net", num_classes=3, pretrained=True)


DATA = {
    "os:abort": "'os:abort' must be a function annotated -> SegDataset of at most one argument, a Path, got ",
    "mine_1:two": "'mine_1:two' must be a function annotated -> SegDataset of at most one argument",
    "mine_1:given": "data set 'mine_1:given' needs its path. Write mine_1:given:PATH.",
    "mine_1:alone:here": "data set 'mine_1:alone' takes no path, got 'here'. Leave it out.",
    "mine_1:nothing": "'mine_1:nothing' must return a SegDataset, got NoneType.",
    "mine_1:torn": "'mine_1:torn' raised OSError while it was opened: disk on fire",
    "mine_1:either": "Unknown data set 'nowhere'.",
    "not_there:two": "Unknown data set 'not_there:two'.",
}


@pytest.mark.parametrize(("name", "sentence"), DATA.items())
def test_what_is_no_data_set_is_refused_before_it_is_called(name, sentence, calls):
    with pytest.raises(DataError) as caught:
        open_dataset(name)
    assert str(caught.value).startswith(sentence)
    assert calls == []


def test_names_of_ours_and_folders_win(code):
    (code / "mine_1:given").mkdir()
    try:
        assert absolute("mine_1:given") == str(code / "mine_1:given")
    finally:
        (code / "mine_1:given").rmdir()
    assert not is_own("fpn:resnet18")
    with pytest.raises(ModelError, match="Unknown decoder 'fnp'"):
        build("fnp:resnet18", num_classes=3)


def test_a_data_set_said_absolutely_keeps_its_function(code):
    assert absolute("mine_1:alone") == "mine_1:alone"
    assert absolute("mine_1:given:there/roofs") == f"mine_1:given:{code}/there/roofs"


def test_what_goes_along_to_a_cluster_is_the_package_or_the_file(code):
    assert own.source("mine_1:Own") == code / "mine_1.py"
    assert own.source("mine_package.nets:net") == code / "mine_package"
    with pytest.raises(HeteroakdError, match="'nowhere', which is not here to be sent along"):
        own.source("nowhere:Thing")


def test_entries_of_own_come_as_a_mapping_or_one_by_one():
    config = TrialConfig.parse({"method": "mine_1:Own", "own": {"alpha": 1.0, "beta": 2}, "own.alpha": 3.0})
    assert config.own == {"alpha": 3.0, "beta": 2}


def test_own_counts_in_a_trials_digest_only_under_an_own_method():
    def digest(method, alpha):
        return TrialConfig.parse({"method": method, "own.alpha": alpha}).digest()

    assert digest("mine_1:Own", 1.0) != digest("mine_1:Own", 2.0)
    assert digest("kd", 1.0) == digest("kd", 2.0)


def test_an_edited_teacher_is_another_teacher(small, dataset, code, tmp_path):
    file = code / "mine_edited.py"
    file.write_text(CODE)
    config = small(method="kd", teacher="mine_edited:net")
    before = cached_path(config, dataset=dataset, cache=tmp_path)
    file.write_text(CODE + "\n# another\n")
    assert cached_path(config, dataset=dataset, cache=tmp_path) != before
    file.write_text(CODE)
    assert cached_path(config, dataset=dataset, cache=tmp_path) == before


def test_a_trial_runs_on_own_loss_networks_and_data(small, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HETEROAKD_CACHE", str(tmp_path / "cache"))
    named = {"method": "mine_1:Own", "student": "mine_1:Tiny", "teacher": "mine_1:net"}
    found = run(small(**named, data=f"mine_1:given:{folder}", own={"alpha": 0.0}), directory=tmp_path / "trial")
    assert found.step == 6
    assert set(found.terms) == {"loss_task", "loss_kd"}
    assert found.grad_shares["loss_kd"] == 0.0  # its weight is own.alpha


def test_a_loss_that_needs_a_second_student_is_refused():
    with pytest.raises(ConfigError, match="a method of your own trains one"):
        find_method("mine_1:Pair")
