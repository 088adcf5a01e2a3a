"""One process of a trial that trains on several: told what to do by `parallel.py`, on its standard input."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.device import pick_device
from trainables.errors import HeteroakdError
from trainables.kept.store import open_store
from trainables.loop import train
from trainables.losses.find import find_method
from trainables.ranks import Ranks
from trainables.state import Report
from trainables.teachers import load_teacher

PATIENCE = timedelta(minutes=30)
"""Longest wait for another process: as it loads its data, say. One that died is not waited for (`parallel.py`)."""


def main() -> None:
    """Train, and end this process."""
    line = _Line()
    status = 1
    try:
        _train(line)
        line.say({"done": True})
        status = 0
    except BaseException as error:
        text = str(error)
        if not isinstance(error, HeteroakdError):
            traceback.print_exc()
            text = " ".join(text.split())[:500]
        line.say({"trouble": {"kind": type(error).__name__, "text": text, "at": time.time()}})
    sys.stderr.flush()
    os._exit(status)  # a collective that waits for a process that is gone would keep this one


class _Line:
    """To and from the process that started this one, with which it ends. Standard output is for messages alone: what
    libraries print goes where errors go.
    """

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._in = os.fdopen(os.dup(0), "rb", buffering=0)
        os.close(0)
        os.open(os.devnull, os.O_RDONLY)  # takes the place of 0
        self.job: dict[str, Any] = json.loads(self._read())
        self._may_go_on = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def say(self, message: dict[str, Any]) -> None:
        print(json.dumps(message), file=self._out, flush=True)

    def report(self, found: Report) -> None:
        """Wait until it has been dealt with, so that a trial that is to end trains no further."""
        self._may_go_on.clear()
        self.say({"report": asdict(found)})
        self._may_go_on.wait()

    def _read(self) -> bytes:
        return self._in.readline()

    def _watch(self) -> None:
        while self._read():
            self._may_go_on.set()
        os._exit(1)


def _train(line: _Line) -> None:
    job = line.job
    config = TrialConfig.parse(job["config"])
    ranks = Ranks(job["rank"], job["size"])
    _join(config, ranks, job["meeting"])
    dataset = open_dataset(config.data)
    cache = None if job["cache"] is None else Path(job["cache"])
    needed = find_method(config.method).needs_teacher
    teacher = load_teacher(config, dataset=dataset, cache=cache) if needed else None
    train(
        config,
        dataset=dataset,
        teacher=teacher,
        directory=open_store(job["root"], job["directory"]),
        report=line.report if ranks.number == 0 else lambda _: None,
        cache=cache,
        ranks=ranks,
    )
    ranks.agree(config.steps, device=pick_device(config))  # none leaves while another still hears it
    dist.destroy_process_group()


def _join(config: TrialConfig, ranks: Ranks, meeting: str) -> None:
    """NCCL on GPUs, of which each rank takes its own; gloo on a CPU."""
    on_gpu = pick_device(config).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(ranks.number)
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=Path(meeting).as_uri(),
        rank=ranks.number,
        world_size=ranks.size,
        timeout=PATIENCE,
    )
