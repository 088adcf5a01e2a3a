from __future__ import annotations

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from trainables import checkpoint
from trainables.errors import CheckpointError

TENSORS = {
    "scalar": torch.tensor(3.5),
    "count": torch.tensor(7, dtype=torch.int64),
    "half": torch.tensor([1.5, -2.25, 3e38], dtype=torch.bfloat16),
    "bytes": torch.arange(256, dtype=torch.uint8),
    "flag": torch.tensor([True, False]),
    "columns": torch.arange(12.0).view(3, 4)[:, ::2],
    "transposed": torch.arange(6.0).view(2, 3).T,
    "spread": torch.tensor([1.0]).expand(4),
    "last": torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last),
    "empty": torch.zeros(0, 3),
    "strange": torch.tensor([float("nan"), float("inf"), -0.0]),
    "leaf": torch.ones(2, requires_grad=True),
}
META = {"digest": "abc", "step": 3, "history": [{"miou": 0.25, "iou": [None, 0.5], "Greek": "λ"}]}


def write(directory, step, digest="abc", value=None):
    tensors = {"value": torch.tensor(float(step if value is None else value))}
    return checkpoint.save(directory, step=step, tensors=tensors, meta={"digest": digest, "step": step})


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_tensors_of_every_kind_and_meta_come_back_as_they_were(tmp_path):
    path = checkpoint.save(tmp_path, step=3, tensors=TENSORS, meta=META)
    found, meta = checkpoint.load(path)
    assert meta == META
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(found[name], tensor.detach(), rtol=0, atol=0, equal_nan=True)


def test_a_checkpoint_is_any_tools_safetensors_file(tmp_path):
    save_file({"weight": torch.ones(2)}, tmp_path / "plain.safetensors")
    found, meta = checkpoint.load(tmp_path / "plain.safetensors")
    assert (found["weight"].tolist(), meta) == ([1, 1], {})


def test_only_the_newest_two_are_kept(tmp_path):
    for step in (100, 200, 1000, 300):
        write(tmp_path, step)
    assert names(tmp_path) == ["step-00000300.safetensors", "step-00001000.safetensors"]


def test_the_newest_is_the_one_of_the_highest_step(tmp_path):
    for step in (2, 10):
        write(tmp_path, step)
    assert checkpoint.latest(tmp_path, digest="abc")[1]["step"] == 10


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    write(tmp_path, 1)

    def half(tensors, path, metadata):
        path.write_bytes(b"half a file")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "save_file", half)
    for step in (1, 2):
        with pytest.raises(OSError, match="disk full"):
            write(tmp_path, step, value=-1)
    assert names(tmp_path) == ["step-00000001.safetensors"]
    assert checkpoint.latest(tmp_path, digest="abc")[0]["value"] == 1


def test_a_write_leaves_no_temporary_file(tmp_path):
    write(tmp_path / "deep" / "er", 1)
    assert names(tmp_path / "deep" / "er") == ["step-00000001.safetensors"]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.999])
def test_a_torn_newest_file_gives_way_to_the_one_before(tmp_path, share):
    for step in (1, 2):
        checkpoint.save(tmp_path, step=step, tensors=TENSORS, meta=META | {"step": step})
    newest = tmp_path / "step-00000002.safetensors"
    newest.write_bytes(newest.read_bytes()[: int(share * newest.stat().st_size)])
    assert checkpoint.latest(tmp_path, digest="abc")[1]["step"] == 1
    with pytest.raises(CheckpointError, match=r"step-00000002\.safetensors is no whole safetensors file"):
        checkpoint.load(newest)


def test_where_every_file_is_torn_or_there_is_none_there_is_no_checkpoint(tmp_path):
    assert checkpoint.latest(tmp_path / "none", digest="abc") is None
    write(tmp_path, 1).write_bytes(b"")
    assert checkpoint.latest(tmp_path, digest="abc") is None


def test_a_checkpoint_of_another_config_is_refused_by_name(tmp_path):
    path = write(tmp_path, 1)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.latest(tmp_path, digest="xyz")
    assert str(caught.value) == f"{path} belongs to another config (abc, this one is xyz). Use an empty folder."


def test_a_foreign_safetensors_file_of_our_name_is_refused_as_ours_are(tmp_path):
    save_file({"weight": torch.ones(2)}, tmp_path / "step-00000009.safetensors")
    with pytest.raises(CheckpointError, match=r"step-00000009\.safetensors"):
        checkpoint.latest(tmp_path, digest="abc")


def test_a_missing_file_is_a_checkpoint_error(tmp_path):
    with pytest.raises(CheckpointError, match="none"):
        checkpoint.load(tmp_path / "none.safetensors")


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("a checkpoint was unpickled")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    checkpoint.save(tmp_path, step=1, tensors=TENSORS, meta=META)
    assert checkpoint.latest(tmp_path, digest="abc") is not None
    (tmp_path / "step-00000002.safetensors").write_bytes(pickle.dumps({"digest": "abc"}))
    assert checkpoint.latest(tmp_path, digest="abc")[1]["step"] == 3


def test_the_header_holds_the_meta_as_json(tmp_path):
    raw = checkpoint.save(tmp_path, step=1, tensors={"a": torch.ones(1)}, meta=META).read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(header["__metadata__"]["meta"]) == META


def test_discarding_leaves_the_log(tmp_path):
    write(tmp_path, 1)
    (tmp_path / "log.jsonl").write_text("{}\n")
    checkpoint.discard(tmp_path)
    assert names(tmp_path) == ["log.jsonl"]
