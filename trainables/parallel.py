"""A trial on several GPUs of one machine: starts a process for each, listens to them, and ends them all with the first.

This process trains nothing, so it never waits within a collective and sees at once when one of them dies, as
torchrun's agent does; what they are given and what they say is JSON on pipes. A process whose standard input is closed
ends, so none outlives this one, however it ends. The other end is `worker.py`.
"""

from __future__ import annotations

import json
import math
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from trainables import errors
from trainables.config import TrialConfig
from trainables.device import pick_device
from trainables.errors import ConfigError, HeteroakdError, RankLost
from trainables.kept.store import Store, at
from trainables.state import Report

_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from trainables.worker import main; main()"
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}
_POLL_S = 0.2
_LAST_WORDS_S = 2.0  # after the first trouble: the one at fault may speak after those that suffer from it


def train_together(
    config: TrialConfig,
    *,
    directory: Path | Store,
    report: Callable[[Report], None] = lambda _: None,
    cache: Path | None = None,
) -> Report:
    """`loop.train` by `config.processes` processes; a teacher that is to be trained is in the cache already.

    Returns:
        The last evaluation.

    Raises:
        ConfigError: there are not as many GPUs here.
        RankLost: a process was killed, or failed in a way that no other error names.
        HeteroakdError: as `loop.train`, in whichever process it was.
    """
    _check_devices(config)
    given = directory if isinstance(directory, Store) else at(directory)
    last: Report | None = None
    with _started(config, given, cache) as ranks:
        for rank, said in _listen(ranks):
            last = Report(**said)
            report(last)
            rank.tell(b"")
    assert last is not None
    return last


@dataclass
class _Rank:
    number: int
    process: subprocess.Popen[bytes]
    rest: bytes = b""
    done: bool = False
    trouble: dict[str, Any] = field(default_factory=dict)

    def tell(self, line: bytes) -> None:
        """The job first; after each of its reports anything, so that it goes on."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it died, which is noticed when it is listened to
            self.process.stdin.write(line + b"\n")

    def heard(self) -> list[dict[str, Any]] | None:
        """The messages that are there now; None at their end."""
        assert self.process.stdout is not None
        if not (said := os.read(self.process.stdout.fileno(), 2**16)):
            return None
        *whole, self.rest = (self.rest + said).split(b"\n")
        return [json.loads(line) for line in whole]


def _check_devices(config: TrialConfig) -> None:
    kind = pick_device(config).type
    if kind == "mps":
        raise ConfigError(f"processes is {config.processes}, but an Apple GPU trains with one. Set processes to 1.")
    if kind == "cuda" and (there := torch.cuda.device_count()) < config.processes:
        raise ConfigError(
            f"processes is {config.processes}, a GPU each, but of GPUs there are {there} here. Set processes to "
            f"{there}, or gpus_per_trial to {config.processes}."
        )


@contextmanager
def _started(config: TrialConfig, directory: Store, cache: Path | None) -> Iterator[list[_Rank]]:
    """The processes, at work; all are gone at the end."""
    root, name = directory.address()
    paths = json.dumps([path or str(Path.cwd()) for path in sys.path])
    environment = {"GLOO_SOCKET_IFNAME": _LOOPBACK.get(sys.platform, ""), **os.environ}
    with tempfile.TemporaryDirectory(prefix="heteroakd-ranks-") as meeting, ExitStack() as ends:
        ranks = [_Rank(number, _process(paths, environment, ends)) for number in range(config.processes)]
        job = {
            "config": config.model_dump(mode="json"), "root": root, "directory": name, "size": config.processes,
            "cache": None if cache is None else str(cache), "meeting": str(Path(meeting, "store")),
        }  # fmt: skip
        for rank in ranks:
            rank.tell(json.dumps(job | {"rank": rank.number}).encode())
        yield ranks


def _process(paths: str, environment: dict[str, str], ends: ExitStack) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _START, paths],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env=environment,
        start_new_session=True,  # a Ctrl-C is for this process, which then ends them
    )
    ends.enter_context(process)
    ends.callback(process.kill)
    return process


def _listen(ranks: list[_Rank]) -> Iterator[tuple[_Rank, dict[str, Any]]]:
    """The reports, until all are done.

    Raises:
        HeteroakdError: the trouble that came first.
    """
    with selectors.DefaultSelector() as selector:
        for rank in ranks:
            assert rank.process.stdout is not None
            selector.register(rank.process.stdout, selectors.EVENT_READ, rank)
        until = math.inf
        while not all(rank.done for rank in ranks):
            ready = selector.select(_POLL_S)
            for key, _ in ready:
                messages = key.data.heard()
                if messages is None:
                    selector.unregister(key.fileobj)
                for said in messages or ():
                    if "report" in said:
                        yield key.data, said["report"]
                    key.data.done |= "done" in said
                    key.data.trouble |= said.get("trouble", {})
            lost = [rank for rank in ranks if not rank.done and (rank.trouble or rank.process.poll() is not None)]
            if lost:
                until = min(until, time.monotonic() + _LAST_WORDS_S)
            if not ready and lost and (len(lost) == len(ranks) or time.monotonic() > until):
                raise _first(lost, len(ranks))


def _first(lost: list[_Rank], size: int) -> Exception:
    """What is at fault: an error that says what to do, else a process that was killed, else what happened first; the
    others only lost touch with it.
    """
    told = sorted((rank for rank in lost if rank.trouble), key=lambda rank: float(rank.trouble["at"]))
    for rank in told:
        kind = getattr(errors, rank.trouble["kind"], None)
        if isinstance(kind, type) and issubclass(kind, HeteroakdError):
            return kind(rank.trouble["text"])
    for rank in (rank for rank in lost if not rank.trouble):
        return RankLost(
            f"{_named(rank, size)} ended without a word, {_status(rank)}. Give it more memory if that ran out, and run "
            "the trial again: it goes on from its last checkpoint."
        )
    kind, text = told[0].trouble["kind"], told[0].trouble["text"]
    if kind == "OutOfMemoryError":  # as one process would have said it: groups and messages know it by its class
        return torch.OutOfMemoryError(f"{_named(told[0], size)}: {text}")
    return RankLost(f"{_named(told[0], size)} failed with {kind}: {text.rstrip('.')}.")


def _named(rank: _Rank, size: int) -> str:
    return f"Process {rank.number + 1} of the {size} that train this trial"


def _status(rank: _Rank) -> str:
    status = rank.process.wait()
    return f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
