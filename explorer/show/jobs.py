"""Slow things that processes of their own do, so that a server's threads never wait for them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

_KEPT = 48  # results that are remembered
_TRIES = 3  # for work whose process is killed


class Jobs:
    """Slow things, done elsewhere; what came of the last ones is remembered."""

    def __init__(self, pool: Executor | None) -> None:
        self._given, self._pool = pool, pool
        self._known: OrderedDict[Any, tuple[Future[Any], int]] = OrderedDict()
        self._lock = threading.Lock()

    def once(self, key: Any, work: Callable[..., Any], *args: Any) -> Future[Any]:
        """The result of this key's work, begun at the first call, and again at a call after its process was killed."""
        with self._lock:
            found, tries = self._known.pop(key, (None, 0))
            if found is None or (_killed(found) and tries < _TRIES):
                found, tries = self._submit(work, *args), tries + 1
            self._known[key] = found, tries
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
            return found

    def begin(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        """Work that is not remembered."""
        with self._lock:
            return self._submit(work, *args)

    def _submit(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(2, mp_context=spawn, initializer=_politely)
        try:
            return self._pool.submit(work, *args)
        except BrokenProcessPool:  # a process was killed, for memory say
            self._pool = self._given
            if self._given is not None:
                raise
            return self._submit(work, *args)

    def close(self) -> None:
        """End the processes, whatever they are at: nobody waits for it any more."""
        if isinstance(self._pool, ProcessPoolExecutor) and self._given is None:
            processes = list((self._pool._processes or {}).values())  # public from Python 3.14 on: kill_workers
            self._pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()


def _politely() -> None:
    """In a new process: leave the processor to the sweep and Ctrl-C to the server, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _killed(work: Future[Any]) -> bool:
    return work.done() and isinstance(failure(work), BrokenProcessPool)


def failure(done: Future[Any]) -> BaseException | None:
    """Why there is no result; None where there is one."""
    return CancelledError("stopped") if done.cancelled() else done.exception()
