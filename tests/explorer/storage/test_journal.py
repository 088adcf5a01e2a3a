"""A journal survives its writers: torn lines, glued lines, full disks and locks of the dead."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from explorer.storage import journal, storages
from explorer.storage.journal import Journal, repair, unlock
from explorer.study import StudySpec
from trainables.errors import StudyError


def record(value):
    """A line of the journal: a study's attribute."""
    return {"op_code": 2, "worker_id": "w", "study_id": 0, "user_attr": {"n": value}}


def line(value):
    return json.dumps(record(value), separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def path(tmp_path):
    """A journal of one study with one finished trial of three reports, written by Optuna's own back-end."""
    path = tmp_path / storages.JOURNAL
    study = optuna.create_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="s")
    trial = study.ask()
    for step in (1, 2, 3):
        trial.report(step / 10, step)
    study.tell(trial, 0.3)
    return path


def read(path):
    """What a process that opens the journal now sees: (states, intermediate values)."""
    study = optuna.load_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="s")
    return [(trial.state, trial.intermediate_values) for trial in study.get_trials()]


WHOLE = [(TrialState.COMPLETE, {1: 0.1, 2: 0.2, 3: 0.3})]
UNTOLD = [(TrialState.RUNNING, {1: 0.1, 2: 0.2, 3: 0.3})]


def test_optuna_alone_loses_a_torn_journal(path):
    """Why all this exists; when it fails, Optuna has learnt to repair and ours may go."""
    torn = path.read_bytes()[:-20]
    path.write_bytes(torn)
    backend = JournalFileBackend(str(path))
    backend.append_logs([record(1)])
    backend.append_logs([record(2)])
    with pytest.raises(ValueError, match=r"delimiter|Extra data|Unterminated|Expecting"):
        read(path)


def test_a_line_torn_at_any_byte_is_cut_off_and_the_rest_is_kept(path):
    whole = path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        assert repair(path) == end - start
        assert path.read_bytes() == whole[:start]
    assert read(path) == UNTOLD


def test_an_append_after_a_line_torn_at_any_byte_replaces_it(path):
    whole = path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        Journal(path).append_logs([record(1), record(2)])
        assert path.read_bytes() == whole[:start] + line(1) + line(2)
    assert read(path) == UNTOLD


def test_a_torn_line_longer_than_a_block_is_cut_off(path):
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":2,"user_attr":{"x":"' + b"x" * 3 * journal._BLOCK)
    Journal(path).append_logs([record(1)])
    assert path.read_bytes() == whole + line(1)


def test_a_file_that_is_one_torn_line_becomes_empty(path):
    path.write_bytes(line(1)[:-1])
    assert repair(path) == len(line(1)) - 1
    assert path.read_bytes() == b""


def test_a_record_glued_to_a_torn_line_by_another_writer_is_kept(path):
    whole = path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for end in range(start + 1, len(whole) - 1):
        path.write_bytes(whole[:end] + line(1) + line(2))
        assert repair(path) == end - start
        assert path.read_bytes() == whole[:start] + line(1) + line(2)
    assert read(path) == UNTOLD


def test_zeros_that_a_power_cut_leaves_are_cut_off(path):
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 100 + b"\n" + b"\0" * 50)
    assert repair(path) == 151
    assert path.read_bytes() == whole


def test_a_line_damaged_in_the_middle_is_refused_not_guessed(path):
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b'{"op_code":7,"tri#\n'
    path.write_bytes(b"".join(lines))
    with pytest.raises(StudyError, match=r"study\.journal is damaged at line 3"):
        repair(path)
    assert path.read_bytes() == b"".join(lines)


def test_a_whole_journal_is_not_touched(path):
    before = path.stat()
    assert repair(path) == 0
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert read(path) == WHOLE


def test_a_reader_changes_nothing_and_reads_past_a_torn_line(path):
    torn = path.read_bytes()[:-5]
    path.write_bytes(torn)
    (path.parent / "study.journal.lock").symlink_to(path)
    before = path.stat().st_mtime_ns
    storage = storages.open_storage(StudySpec(), path.parent)
    assert [trial.state for trial in optuna.load_study(storage=storage, study_name="s").get_trials()] == [
        TrialState.RUNNING
    ]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (torn, before)


@pytest.mark.parametrize("written", [0, 1, 40])
def test_a_full_disk_leaves_no_half_line_and_the_next_append_works(path, monkeypatch, written):
    whole = path.read_bytes()
    backend = Journal(path)
    write = journal._write

    def full(file, data):
        write(file, data[:written])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        backend.append_logs([record(1)])
    assert path.read_bytes() == whole
    monkeypatch.setattr(journal, "_write", write)
    backend.append_logs([record(2)])
    assert path.read_bytes() == whole + line(2)
    assert not (path.parent / "study.journal.lock").exists()


def test_a_stale_lock_of_a_dead_writer_is_removed(path):
    lock = path.parent / "study.journal.lock"
    lock.symlink_to(path)
    left = path.parent / "study.journal.lock1234.rename"
    left.symlink_to(path)
    assert unlock(path)
    assert not lock.is_symlink()
    assert not left.is_symlink()
    assert not unlock(path)


def test_the_lock_of_a_living_writer_is_left_alone(path, monkeypatch):
    lock = path.parent / "study.journal.lock"
    lock.touch()

    def released_and_taken_again(_):
        lock.rename(path.parent / "old")
        lock.touch()

    monkeypatch.setattr(journal.time, "sleep", released_and_taken_again)
    assert not unlock(path)
    assert lock.exists()


def test_a_journal_has_one_owner_at_a_time_and_is_mended_for_it(path):
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":')
    (path.parent / "study.journal.lock").symlink_to(path)
    with storages.owned(StudySpec(), path.parent):
        assert path.read_bytes() == whole
        assert not (path.parent / "study.journal.lock").is_symlink()
        with (
            pytest.raises(StudyError, match=r"Another process has .*study\.journal.*grpc://"),
            storages.owned(StudySpec(), path.parent),
        ):
            pass
    with storages.owned(StudySpec(), path.parent):
        pass


@pytest.mark.parametrize("storage", ["sqlite", "postgresql://h/d", "grpc://h:1"])
def test_other_storages_need_no_mending(tmp_path, storage):
    with storages.owned(StudySpec(storage=storage), tmp_path):
        assert not any(tmp_path.iterdir())


def test_a_group_of_lines_is_synced_once_and_readable_at_once(path, monkeypatch):
    synced = []
    monkeypatch.setattr(journal.os, "fsync", synced.append)
    storage = storages.open_storage(StudySpec(), path.parent)
    study = optuna.load_study(storage=storage, study_name="s")
    with storages.one_sync(storage):
        trial = study.ask()
        trial.set_user_attr("a", 1)
        trial.report(0.5, 1)
        assert len(read(path)) == 2
        assert synced == []
    assert len(synced) == 1
    trial.report(0.6, 2)
    assert len(synced) == 2
    with storages.one_sync(storage):
        study.get_trials()
    assert len(synced) == 2


def test_one_sync_is_nothing_to_other_storages():
    with storages.one_sync(optuna.storages.InMemoryStorage()):
        pass


WRITER = """
import sys
from pathlib import Path
import optuna
from optuna.storages import JournalStorage
from explorer.storage.journal import Journal
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.load_study(storage=JournalStorage(Journal(Path(sys.argv[1]))), study_name="s")
while True:
    trial = study.ask()
    for step in range(1, 10):
        trial.report(step / 10, step)
        print(trial.number, step, flush=True)
    study.tell(trial, 0.9)
"""


def test_killed_writers_lose_nothing_that_they_were_told_is_written(path):
    """Five writers, one after another, each killed while it writes; every acknowledged report must be there."""
    told = []
    for kill in range(5):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        lines = [writer.stdout.readline() for _ in range(50 + 7 * kill)]
        writer.kill()
        lines += writer.stdout.read().splitlines(keepends=True)
        writer.wait()
        writer.stdout.close()
        told += [tuple(map(int, line.split())) for line in lines if line.endswith("\n")]
        unlock(path)
        repair(path)
    trials = optuna.load_study(storage=JournalStorage(Journal(path)), study_name="s").get_trials()
    assert len(told) >= 5 * 50
    for number, step in told:
        assert trials[number].intermediate_values[step] == step / 10
