"""`heteroakd storage`: one process holds the journal, others reach it over loopback by grpc://."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from explorer.storage import proxy, storages
from explorer.study import StudySpec
from trainables.errors import MissingExtra, StudyError

pytest.importorskip("grpc", reason="No gRPC here (pip install 'heteroakd-explorer[grpc]').")
CLIENT = Path(__file__).with_name("client.py")
HETEROAKD = [os.environ["WARM_PYTHON"], "-c", "from explorer.cli.app import main; main()"]


@contextmanager
def served(folder, port):
    """The verb in a process of its own; its address."""
    verb = [*HETEROAKD, "storage", str(folder), "--port", str(port)]
    with subprocess.Popen(verb, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line == f"serving {folder} at grpc://127.0.0.1:{port}\n"
            yield f"grpc://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("served").resolve()


@pytest.fixture(scope="module")
def address(folder, free_ports):
    with served(folder, *free_ports()) as address:
        yield address


def run(*arguments):
    return subprocess.Popen([os.environ["WARM_PYTHON"], str(CLIENT), *arguments], stdout=subprocess.PIPE, text=True)


def test_two_clients_at_once_and_the_journal_beneath_holds_all(address, folder):
    with run(address, "a") as first, run(address, "b") as second:
        first.stdout.read()
        second.stdout.read()
    assert (first.returncode, second.returncode) == (0, 0)
    beneath = storages.open_storage(StudySpec(), folder)
    through = storages.open_storage(StudySpec(storage=address), folder)
    for name in ("a", "b"):
        trials = optuna.load_study(study_name=name, storage=beneath).get_trials()
        states = [trial.state for trial in trials]
        assert len(states) == 10
        assert states.count(TrialState.FAIL) == 2  # trials 4 and 9 diverge
        assert {n for n, state in enumerate(states) if state == TrialState.PRUNED} == {3, 5, 7}
        for trial in trials:
            if trial.state == TrialState.COMPLETE:
                assert trial.intermediate_values == pytest.approx({step: step / 18 for step in range(1, 10)})
        assert [trial.state for trial in optuna.load_study(study_name=name, storage=through).get_trials()] == states


def test_a_killed_client_is_succeeded_by_another(address, folder):
    with run(address, "killed") as process:
        for _ in range(15):
            process.stdout.readline()
        process.kill()
    with run(address, "killed") as process:
        process.stdout.read()
    assert process.returncode == 0
    trials = optuna.load_study(study_name="killed", storage=storages.open_storage(StudySpec(), folder)).get_trials()
    assert len(trials) == 10
    assert all(trial.state.is_finished() for trial in trials)


def test_a_driver_does_not_open_a_journal_that_is_served(address, folder):
    with pytest.raises(StudyError, match=r"Another process has .*grpc://"), storages.owned(StudySpec(), folder):
        pass


def test_a_second_server_of_a_journal_or_of_a_port_is_refused_in_one_sentence(address, folder, free_ports):
    port = address.rpartition(":")[2]
    verb = [*HETEROAKD, "storage", str(folder), "--port", *map(str, free_ports())]
    again = subprocess.run(verb, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert again.stderr.startswith(f"Error: Another process has {folder / 'study.journal'}.")
    with pytest.raises(StudyError, match=f"Cannot listen on 127.0.0.1:{port}: .*Choose another --port"):
        proxy.check_free("127.0.0.1", int(port))


def test_the_server_listens_on_loopback_alone(address):
    port = int(address.rpartition(":")[2])
    for family, other in ((socket.AF_INET, "127.0.0.2"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as caller:
            caller.settimeout(5)
            assert caller.connect_ex((other, port)) != 0


def test_no_server_is_one_sentence_within_seconds(tmp_path, monkeypatch, free_ports):
    (port,) = free_ports()
    monkeypatch.setattr(proxy, "_ANSWER_S", 0.5)
    nowhere = f"grpc://127.0.0.1:{port}"
    with pytest.raises(StudyError, match=f"No storage answers at {nowhere}. Start one with `heteroakd storage"):
        storages.open_storage(StudySpec(storage=nowhere), tmp_path)


def test_something_else_at_the_port_is_one_sentence_within_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(proxy, "_ANSWER_S", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(StudyError, match="No storage answers"):
            storages.open_storage(StudySpec(storage=f"grpc://127.0.0.1:{silent.getsockname()[1]}"), tmp_path)


@pytest.mark.parametrize("address", ["grpc://", "grpc://h", "grpc://h:x", "grpc://h:1/p", "grpc://u:secret@h:1"])
def test_a_malformed_address_is_refused(address, tmp_path):
    with pytest.raises(StudyError, match="A served storage is grpc://HOST:PORT") as error:
        storages.open_storage(StudySpec(storage=address), tmp_path)
    assert "secret" not in str(error.value)


def test_without_grpc_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"^grpc is not installed. `pip install 'heteroakd-explorer\[grpc\]'`\.$"):
        storages.open_storage(StudySpec(storage="grpc://127.0.0.1:1"), tmp_path)
