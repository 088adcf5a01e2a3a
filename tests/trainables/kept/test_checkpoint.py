from __future__ import annotations

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from trainables.errors import CheckpointError
from trainables.kept import checkpoint
from trainables.loop import train

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
    return directory / checkpoint.save(directory, step=step, tensors=tensors, meta={"digest": digest, "step": step})


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_tensors_of_every_kind_and_meta_come_back_as_they_were(tmp_path):
    name = checkpoint.save(tmp_path, step=3, tensors=TENSORS, meta=META)
    found, meta = checkpoint.load(tmp_path / name)
    assert meta == META
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(found[name], tensor.detach(), rtol=0, atol=0, equal_nan=True)


def test_a_checkpoint_is_any_tools_safetensors_file(tmp_path):
    save_file({"weight": torch.ones(2)}, tmp_path / "plain.safetensors")
    found, meta = checkpoint.load(tmp_path / "plain.safetensors")
    assert (found["weight"].tolist(), meta) == ([1, 1], {})


def test_a_checkpoint_and_the_one_before_it_are_kept(tmp_path):
    for step in (100, 200, 1000):
        write(tmp_path, step)
    assert names(tmp_path) == ["step-00000200.safetensors", "step-00001000.safetensors"]


def test_one_that_is_to_stay_alone_drops_all_others(tmp_path):
    for step in (1, 2):
        write(tmp_path, step)
    checkpoint.save(tmp_path, step=3, tensors={}, meta={}, keep=1)
    assert names(tmp_path) == ["step-00000003.safetensors"]


def test_later_ones_which_were_torn_or_the_trial_would_have_gone_on_from_them_are_dropped(tmp_path):
    for step in (10, 20):
        write(tmp_path, step).write_bytes(b"torn")
    write(tmp_path, 5)
    write(tmp_path, 10)
    assert names(tmp_path) == ["step-00000005.safetensors", "step-00000010.safetensors"]


def test_what_a_killed_process_left_unfinished_is_removed_by_the_next_save_and_by_discarding(tmp_path):
    write(tmp_path, 1)
    for tidy in (lambda: write(tmp_path, 2), lambda: checkpoint.discard(tmp_path)):
        (tmp_path / ".step-00000002.safetensors.part-0123456789ab").write_bytes(b"half")
        tidy()
        assert not list(tmp_path.glob(".step*"))
    assert names(tmp_path) == []


def test_the_newest_is_the_one_of_the_highest_step(tmp_path):
    for step in (2, 10):
        write(tmp_path, step)
    assert checkpoint.latest(tmp_path, digest="abc")[1]["step"] == 10


def test_a_write_leaves_no_temporary_file(tmp_path):
    write(tmp_path / "deep" / "er", 1)
    assert names(tmp_path / "deep" / "er") == ["step-00000001.safetensors"]


def test_a_newest_file_cut_at_any_length_gives_way_to_the_one_before(tmp_path, caplog):
    for step in (1, 2):
        write(tmp_path, step)
    newest = tmp_path / "step-00000002.safetensors"
    whole = newest.read_bytes()
    for length in range(len(whole)):
        newest.write_bytes(whole[:length])
        assert checkpoint.latest(tmp_path, digest="abc")[1]["step"] == 1
    with pytest.raises(CheckpointError, match=r"step-00000002\.safetensors is no whole safetensors file"):
        checkpoint.load(newest)
    assert len(caplog.messages) == len(whole)  # said each time
    assert "is torn; the one before it is used" in caplog.messages[0]


def test_any_byte_changed_is_detected_or_changes_nothing(tmp_path):
    path = tmp_path / checkpoint.save(tmp_path, step=3, tensors={"a": torch.arange(5.0)}, meta=META)
    whole, unchanged = path.read_bytes(), 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        if found := checkpoint.latest(tmp_path, digest="abc"):
            assert (found[0]["a"].tolist(), found[1]) == ([0, 1, 2, 3, 4], META)
            unchanged += 1
    assert unchanged <= 8  # the spaces that pad a header


def test_garbage_of_the_same_length_inside_a_tensor_gives_way_to_the_one_before(tmp_path):
    for step in (1, 2):
        checkpoint.save(tmp_path, step=step, tensors=TENSORS, meta=META | {"step": step})
    newest = tmp_path / "step-00000002.safetensors"
    raw = newest.read_bytes()
    newest.write_bytes(raw[:-512] + bytes(512))
    assert checkpoint.latest(tmp_path, digest="abc")[1]["step"] == 1
    with pytest.raises(CheckpointError, match=r"its sum is wrong or missing\.$"):
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


def test_a_foreign_safetensors_file_of_our_name_is_none_of_ours(tmp_path):
    write(tmp_path, 1)
    save_file({"weight": torch.ones(2)}, tmp_path / "step-00000009.safetensors")
    assert checkpoint.latest(tmp_path, digest="abc")[1]["step"] == 1


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
    raw = (tmp_path / checkpoint.save(tmp_path, step=1, tensors={"a": torch.ones(1)}, meta=META)).read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    found = json.loads(header["__metadata__"]["meta"])
    assert len(found.pop("sha256")) == 64
    assert found == META


def test_the_same_state_gives_the_same_bytes(tmp_path):
    files = [tmp_path / str(number) for number in range(8)]
    for path in files:
        checkpoint.write(path, TENSORS, META)
    assert len({path.read_bytes() for path in files}) == 1


def test_meta_that_is_no_mapping_is_refused(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "odd.safetensors", metadata={"meta": "7"})
    with pytest.raises(CheckpointError, match="odd"):
        checkpoint.load(tmp_path / "odd.safetensors")


def test_discarding_leaves_the_log(tmp_path):
    write(tmp_path, 1)
    (tmp_path / "log.jsonl").write_text("{}\n")
    checkpoint.discard(tmp_path)
    assert names(tmp_path) == ["log.jsonl"]


def test_a_trial_whose_checkpoints_are_all_torn_starts_again_says_so_and_ends_the_same(
    small, dataset, outcome, tmp_path, caplog
):
    class Killed(Exception):
        pass

    def kill(report):
        if report.step == 4:
            raise Killed

    config, seen = small(), []
    with pytest.raises(Killed):
        train(config, dataset=dataset, directory=tmp_path / "torn", report=kill)
    for path in (tmp_path / "torn").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    state = train(config, dataset=dataset, directory=tmp_path / "torn", report=seen.append)
    assert [report.step for report in seen] == [2, 4, 6]
    assert outcome(state) == outcome(train(config, dataset=dataset, directory=tmp_path / "whole"))
    assert names(tmp_path / "torn") == ["log.jsonl", "step-00000006.safetensors"]
    assert len(caplog.messages) == 2
    assert "or step 0" in caplog.messages[1]
