"""Trials' folders at a URI: pyarrow on a local folder and on a real S3 server on loopback."""

from __future__ import annotations

import signal

import pytest
import torch
from pyarrow import fs

from trainables.errors import Interrupted, StudyError
from trainables.kept import atomic, bucket, checkpoint
from trainables.kept.bucket import Bucket
from trainables.kept.store import Folder, absolute, check, open_store
from trainables.loop import train

KILLED_AT_4 = """
import os, signal, tempfile
from trainables.data.catalogue import open_dataset
from trainables.loop import train
from trainables.kept.store import open_store

tempfile.tempdir = scratch

def report(found):
    if found.step == 4:
        os.kill(os.getpid(), signal.SIGKILL)

train(config, dataset=open_dataset(config.data), directory=open_store(root, "trials/a"), report=report)
"""


@pytest.fixture(scope="module")
def server():
    """A function that starts the S3 server, on the same port each time, and one that stops it; what it holds stays."""
    moto = pytest.importorskip("moto.server", reason="the S3 tests need moto[server]")
    running = []

    def start(port=0):
        running.append(moto.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False))
        running[-1].start()
        return running[-1].get_host_and_port()[1]

    def stop():
        running.pop().stop()

    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "HTTP_PROXY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        port = start()
        options = f"endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
        files, _ = fs.FileSystem.from_uri(f"s3://us:er@b?{options}&allow_bucket_creation=true")
        files.create_dir("bucket")
        yield {"root": f"s3://key:secret@bucket/sweeps?{options}", "start": lambda: start(port), "stop": stop}
        while running:
            stop()


@pytest.fixture
def s3(server, request):
    """A root of this test's own."""
    return server["root"].replace("/sweeps", f"/{abs(hash(request.node.name))}")


@pytest.fixture(params=["file", "s3"])
def store(request, tmp_path):
    root = f"file://{tmp_path}/shared" if request.param == "file" else request.getfixturevalue("s3")
    return Bucket(root, "trials/search-00000")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(bucket, "PAUSES_S", ())


def save(store, step, **options):
    tensors = {"value": torch.tensor(float(step))}
    return checkpoint.save(store, step=step, tensors=tensors, meta={"digest": "abc", "step": step}, **options)


def put(store, name, content):
    store.write(name, lambda path: path.write_bytes(content))


def get(store, name):
    with store.read(name) as path:
        return path.read_bytes()


def test_a_checkpoint_and_the_one_before_it_are_kept_and_the_newest_comes_back(store):
    assert checkpoint.latest(store, digest="abc") is None
    for step in (2, 10, 30):
        save(store, step)
    assert sorted(store.names()) == ["step-00000010.safetensors", "step-00000030.safetensors"]
    tensors, meta = checkpoint.latest(store, digest="abc")
    assert (tensors["value"], meta["step"]) == (30, 30)
    save(store, 40, keep=1)
    assert store.names() == ["step-00000040.safetensors"]


@pytest.mark.parametrize("torn", [b"", b"half a file"])
def test_a_torn_newest_object_gives_way_to_the_one_before(store, torn):
    for step in (1, 2):
        save(store, step)
    put(store, "step-00000002.safetensors", torn)
    assert checkpoint.latest(store, digest="abc")[1]["step"] == 1
    put(store, "step-00000001.safetensors", torn)
    assert checkpoint.latest(store, digest="abc") is None


def test_an_object_that_has_rotten_gives_way_to_the_one_before(store):
    for step in (1, 2):
        save(store, step)
    raw = get(store, "step-00000002.safetensors")
    put(store, "step-00000002.safetensors", raw[:-1] + b"\xff")
    assert checkpoint.latest(store, digest="abc")[1]["step"] == 1


def test_what_a_killed_process_left_unfinished_is_removed_by_the_next_save(store):
    put(store, ".step-00000001.safetensors.part-0123456789ab", b"half")
    assert save(store, 1) == "step-00000001.safetensors"
    assert store.names() == ["step-00000001.safetensors"]


def test_discarding_leaves_the_log(store):
    save(store, 1)
    put(store, "log.jsonl", b"{}\n")
    checkpoint.discard(store)
    assert store.names() == ["log.jsonl"]
    assert get(store, "log.jsonl") == b"{}\n"


def test_a_missing_object_is_no_file(store):
    with pytest.raises(FileNotFoundError), store.read("none"):
        pass
    store.remove("none")


def test_nothing_stays_on_this_machine(store, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    save(store, 1)
    checkpoint.latest(store, digest="abc")
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.xdist_group("fresh")
def test_a_trial_killed_after_its_checkpoint_goes_on_on_another_machine_and_equals_the_uninterrupted_one(
    s3, small, dataset, outcome, fresh, tmp_path
):
    config, seen = small(), []
    (tmp_path / "one").mkdir()
    killed = fresh(KILLED_AT_4, config=config, root=s3, scratch=str(tmp_path / "one"))
    killed.join(200)
    assert killed.exitcode == -signal.SIGKILL
    store = open_store(s3, "trials/a")
    assert sorted(store.names()) == ["log.jsonl", "step-00000002.safetensors", "step-00000004.safetensors"]

    state = train(config, dataset=dataset, directory=store, report=seen.append)

    assert outcome(state) == outcome(train(config, dataset=dataset, directory=tmp_path / "whole"))
    assert [report.step for report in seen] == [2, 4, 6]
    assert seen[0].seconds < seen[1].seconds  # as the other machine measured
    assert sorted(store.names()) == ["log.jsonl", "step-00000006.safetensors"]
    assert get(store, "log.jsonl").count(b"\n") == 3


def test_a_trial_whose_storage_goes_away_is_interrupted_and_goes_on_when_it_is_back(
    server, s3, small, dataset, outcome, tmp_path
):
    config = small(steps=4)
    store = open_store(s3, "trials/a")
    with pytest.raises(Interrupted) as caught:
        train(config, dataset=dataset, directory=store, report=lambda _: server["stop"]())
    place = s3.partition("@")[2].partition("?")[0]
    assert str(caught.value).startswith(f"s3://{place}/trials/a cannot be used (")
    assert str(caught.value).endswith(
        "Make it reachable and writable, then `heteroakd resume` (or the same command again)."
    )
    assert "secret" not in str(caught.value)

    server["start"]()
    assert "step-00000002.safetensors" in store.names()
    state = train(config, dataset=dataset, directory=store)
    assert outcome(state) == outcome(train(config, dataset=dataset, directory=tmp_path / "whole"))


@pytest.mark.parametrize(("times", "ends"), [(2, True), (3, False)])
def test_a_network_that_fails_for_a_moment_is_tried_three_times(tmp_path, monkeypatch, times, ends):
    slept, failing = [], [OSError("no route")] * times
    monkeypatch.setattr(bucket, "PAUSES_S", (2.0, 8.0))
    monkeypatch.setattr(bucket.time, "sleep", slept.append)
    copy = fs.copy_files

    def flaky(*args):
        if failing:
            raise failing.pop()
        copy(*args)

    monkeypatch.setattr(fs, "copy_files", flaky)
    store = Bucket(f"file://{tmp_path}/shared", "a")
    if ends:
        save(store, 1)
        assert checkpoint.latest(store, digest="abc")[1]["step"] == 1
    else:
        with pytest.raises(Interrupted, match="no route"):
            save(store, 1)
        assert store.names() == []
    assert slept == [2.0, 8.0]


def test_a_full_disk_of_this_machine_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(Interrupted, match=f"{tmp_path}/none cannot be used"):
        save(Bucket(f"file://{tmp_path}/shared", "a"), 1)


def test_a_root_is_checked_before_a_sweep(store, s3, tmp_path):
    for root in (tmp_path / "new", s3):
        check(root, new=True)
        assert open_store(root, "trials").names() == []
        save(open_store(root, "trials/search-00000"), 1)
        check(root, new=False)
        with pytest.raises(StudyError, match=r"trials holds another study's trials\. Give each study a storage_path"):
            check(root, new=True)


def test_a_bucket_that_does_not_exist_is_said_without_the_password(s3):
    with pytest.raises(Interrupted, match=r"^s3://no-such-bucket/x/trials cannot be used") as caught:
        check(f"s3://key:secret@no-such-bucket/x?{s3.partition('?')[2]}", new=True)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "root",
    [
        "foo://key:secret@b/x",
        "s3://key:secret@b/x?wrong=1",
        "s3://key:secret@?region=x",
        "s3://key:a/secret@b/x?region=x",
        "s3://key:a?secret@b/x",
    ],
)
def test_a_uri_that_pyarrow_does_not_know_is_refused_without_the_password(root):
    with pytest.raises(
        StudyError, match=r"^pyarrow cannot open \S+: .*\. Give a path, or a URI such as s3://bucket/folder\.$"
    ) as caught:
        open_store(root, "trials/a")
    assert "secret" not in str(caught.value)


def test_a_path_is_a_folder_and_a_uri_a_bucket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_store(tmp_path, "trials/a"), Folder)
    assert open_store(str(tmp_path), "trials/a").directory == tmp_path / "trials" / "a"
    assert isinstance(open_store(f"file://{tmp_path}", "trials/a"), Bucket)
    assert absolute("shared") == str(tmp_path / "shared")
    assert absolute("s3://bucket/x?region=y") == "s3://bucket/x?region=y"


def test_an_unfinished_files_name_is_its_own():
    one, other = atomic.part_of("a.txt"), atomic.part_of("a.txt")
    assert one != other
    assert atomic.is_part(one)
    assert not atomic.is_part("a.txt")
