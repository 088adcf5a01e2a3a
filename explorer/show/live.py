"""`heteroakd dashboard --live`: studies that are read again whenever their storage changes, for dashboards/live.

Reading is done by one thread a study, and by it alone; statistics, sample predictions and names of classes, which take
seconds and the networks, by processes of their own, so that no reader of a page waits for either.
"""

from __future__ import annotations

import errno
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

from dashboards.frames import StudyFrames
from dashboards.live import guard
from dashboards.live.source import Detail, Pictures, Snapshot
from dashboards.trial import alone
from explorer.redact import redact
from explorer.results.trials import frames_of, load_studies
from explorer.search.plan import Role
from explorer.show.jobs import Jobs, failure
from explorer.show.samples import NO_CODE, Sample, code_of, of_trial, refuse_code
from explorer.statistics.sensitivity import analyse
from explorer.storage import storages
from explorer.study import StudySpec
from trainables.errors import HeteroakdError, StudyError

_STATISTICS = ("noise", "importance", "interactions", "gains", "pooled", "surface", "local", "ranks")
_FINISHED = ("COMPLETE", "PRUNED", "FAIL")
_REST = 4.0  # times as long as a reading took, it rests
_PAUSE = 30.0  # seconds until statistics whose process was killed are begun again

Studies = dict[Role, optuna.Study]
Legend = Sequence[tuple[str, tuple[int, int, int]]]


def serve(directories: Sequence[Path], *, host: str, port: int, own_code: bool, say: Callable[[str], None]) -> None:
    """Follow studies and serve their pages until Ctrl-C, or until the process is told to end.

    Raises:
        StudyError: a folder holds no study, or the address cannot be listened on.
    """
    from dashboards import app

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Studio(directories, own_code=own_code) as studio:
        try:
            app.serve(studio, host=host, port=port, say=lambda address: say(_where(address, host)))
        except (OSError, UnicodeError) as error:
            raise StudyError(f"{host}:{port} cannot be listened on: {_why(error)}") from None


def _why(error: OSError | UnicodeError) -> str:
    code = error.errno if isinstance(error, OSError) else None
    if code is None or code not in errno.errorcode:  # of the look-up, whose numbers are others
        return "no address of that name is known. Choose another --host."
    taken = code in (errno.EADDRINUSE, errno.EACCES)
    return f"{os.strerror(code)}. Choose another {'--port' if taken else '--host'}."


def _where(address: str, host: str) -> str:
    open_to = "" if guard.is_loopback(host) else "; whoever reaches this address can read the studies"
    return f"dashboard: {address} (Ctrl-C ends it){open_to}"


class Studio:
    """Studies that are followed; `dashboards.live.source.Source` says what is asked of it.

    Use as a context: the threads and processes end with it.
    """

    def __init__(
        self, directories: Sequence[Path], *, every_s: float = 2.0, own_code: bool = False, pool: Executor | None = None
    ) -> None:
        """Open every study and read it once.

        Args:
            directories: the studies' folders.
            every_s: seconds between two looks at a storage.
            own_code: whether code that a study names (`package.module:name`) may be run to show its predictions.
            pool: what runs the slow things; none: two processes.

        Raises:
            StudyError: a folder holds no study; see `load_studies`.
        """
        self._jobs = Jobs(pool)
        self._followed = {
            name: Followed(directory, self._jobs, every_s=every_s, own_code=own_code)
            for name, directory in named(directories).items()
        }

    def __enter__(self) -> Studio:
        for each in self._followed.values():
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._followed.values():
            each.stop()
        self._jobs.close()

    def names(self) -> Sequence[str]:
        """The studies' names, all different."""
        return tuple(self._followed)

    def snapshot(self, name: str) -> Snapshot:
        """The study as last read."""
        return self._followed[name].snapshot

    def detail(self, name: str, role: str, number: int) -> Detail:
        """A trial's config, and its IoU by class."""
        return self._followed[name].detail(role, number)

    def pictures(self, name: str, role: str, number: int) -> Pictures:
        """A trial's sample predictions."""
        return self._followed[name].pictures(role, number)


def named(directories: Sequence[Path]) -> dict[str, Path]:
    """Study's name -> folder; where two have one name, the folders tell them apart.

    Raises:
        StudyError: a folder without a study, or one given twice.
    """
    if len({directory.resolve() for directory in directories}) < len(directories):
        raise StudyError("A study's folder was given twice. Give each once.")
    specs = {directory: StudySpec.of(directory).name[:200] for directory in directories}
    taken = list(specs.values())
    return {name if taken.count(name) == 1 else f"{name} ({directory})": directory for directory, name in specs.items()}


class Followed:
    """One study: read by a thread when its storage has changed."""

    def __init__(self, directory: Path, jobs: Jobs, *, every_s: float, own_code: bool) -> None:
        """Raises:
        StudyError: see `load_studies`.
        """
        self._directory, self._jobs, self._every_s, self._own_code = directory, jobs, every_s, own_code
        self.snapshot = Snapshot()
        self._spec, self._studies = load_studies(directory)
        self._seen: Any = None
        self._told: dict[tuple[str, int], dict[str, Any]] = {}
        self._statistics: Future[StudyFrames] | None = None
        self._asked = 0  # finished trials that the running statistics are of
        self._not_before = 0.0  # on the monotonic clock: when statistics may be begun
        self._wrong: dict[str, str] = {}  # what -> a sentence on what keeps it from being up to date
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"follow {directory.name}", daemon=True)
        self.read()

    def start(self) -> None:
        """Follow the study from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following it."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _follow(self) -> None:
        took = 0.0
        self._see_to_statistics()
        while not self._ended.wait(max(self._every_s, _REST * took)):
            started = time.perf_counter()
            try:
                self.read()
                self._tell("reading", "")
            except Exception as error:  # the page goes on with what it has, and says so
                self._tell("reading", f"The storage cannot be read: {said(error)}")
            took = time.perf_counter() - started
            self._see_to_statistics()

    def read(self) -> None:
        """Look at the storage; where it has changed, take it over.

        Raises:
            Exception: whatever a storage that is out of reach or damaged raises.
        """
        stamp = _stamp(self._spec, self._directory)
        if stamp is None or stamp != self._seen:
            frames = frames_of(self._directory, self._spec, self._studies, gains=False)
            self._told = _attributes(self._studies)
            self._seen = stamp
            if _differ(frames, self.snapshot.frames):
                held = {name: getattr(self.snapshot.frames, name) for name in _STATISTICS}
                self._change(frames=replace(frames, **held), num_finished=_finished(frames))

    def _change(self, **changes: Any) -> None:
        """Publish; readers see the old snapshot or the new one, never half of it."""
        new = replace(self.snapshot, **changes)
        if changes.keys() != {"note"} or new.note != self.snapshot.note:
            self.snapshot = replace(new, version=new.version + 1)

    def _tell(self, what: str, sentence: str) -> None:
        self._wrong[what] = sentence
        self._change(note=" ".join(filter(None, self._wrong.values())))

    def _see_to_statistics(self) -> None:
        """One computation at a time; the next begins when trials have finished since."""
        if self._statistics is not None and self._statistics.done():
            done, self._statistics = self._statistics, None
            self._take_over(done)
        behind = self.snapshot.as_of != self.snapshot.num_finished
        if self._statistics is None and behind and time.monotonic() >= self._not_before:
            self._asked = self.snapshot.num_finished
            try:
                self._statistics = self._jobs.begin(analyse, self.snapshot.frames)
            except Exception as error:  # no process can be started
                self._put_off(error)

    def _take_over(self, done: Future[StudyFrames]) -> None:
        error = failure(done)
        if error is None:
            found = {name: getattr(done.result(), name) for name in _STATISTICS}
            self._change(frames=replace(self.snapshot.frames, **found), as_of=self._asked)
            self._tell("statistics", "")
        elif isinstance(error, BrokenProcessPool):
            self._put_off(error)
        elif not isinstance(error, CancelledError):
            self._change(as_of=self._asked)
            self._tell("statistics", f"The statistics could not be computed: {said(error)}")

    def _put_off(self, error: BaseException) -> None:
        self._not_before = time.monotonic() + _PAUSE
        self._tell("statistics", f"The statistics could not be computed, and will be tried again: {said(error)}")

    def detail(self, role: str, number: int) -> Detail:
        """From the attributes that the storage holds."""
        told = self._told.get((role, number), {})
        config = _config(told)
        trials = self.snapshot.frames.trials
        rows = trials[(trials["role"] == role) & (trials["number"] == number)]
        matched = alone(self.snapshot.frames, rows.iloc[0]) if role == "search" and len(rows) else None
        legend, pending = self._legend(config)
        return Detail(
            config={str(name)[:100]: _text(value) for name, value in config.items()},
            classes=[name for name, _ in legend],
            palette=[colour for _, colour in legend],
            iou=_numbers(told.get("iou")),
            alone=_numbers(self._told.get(("baseline", -1 if matched is None else matched), {}).get("iou")),
            pending=pending,
        )

    def _legend(self, config: dict[str, Any]) -> tuple[Legend, bool]:
        """The classes, and whether they are still looked up; a data set out of reach has none."""
        data = config.get("data")
        if not isinstance(data, str) or (code_of(data) and not self._own_code):
            return (), False
        found = self._jobs.once(("classes", data), legend, data, self._own_code)
        if not found.done():
            return (), True
        return ((), False) if failure(found) else (found.result(), False)

    def pictures(self, role: str, number: int) -> Pictures:
        """Begin their computation, or hand over what came of it."""
        told = self._told.get((role, number), {})
        state = self._state(role, number)
        if state != "COMPLETE":
            return Pictures(note=_NO_PICTURES.get(state, "There is no such trial."))
        if not self._own_code and (reference := code_of(told.get("config"))):
            return Pictures(note=NO_CODE.format(reference))
        key = ("pictures", str(self._directory), role, number)
        found = self._jobs.once(key, show, self._directory, number, role, self._own_code)
        if not found.done():
            return Pictures(pending=True)
        error = failure(found)
        return Pictures(note=said(error)) if error else Pictures(samples=found.result())

    def _state(self, role: str, number: int) -> str:
        trials = self.snapshot.frames.trials
        return next(iter(trials.loc[(trials["role"] == role) & (trials["number"] == number), "state"]), "")


_NO_PICTURES = {
    "PRUNED": "A pruned trial keeps no checkpoint, so there is no student to ask.",
    "FAIL": "A failed trial has no finished student to ask.",
    "RUNNING": "The trial is running; its student can be asked when it is complete.",
    "PAUSED": "The trial is paused; its student can be asked if it goes on and is complete.",
    "WAITING": "The trial has not begun.",
}


def show(directory: Path, number: int, role: Role, own_code: bool) -> list[Sample]:
    """Four pictures of a trial, small enough for a panel."""
    return of_trial(directory, number, role=role, num=4, longest=384, own_code=own_code)


def legend(data: str, own_code: bool) -> Legend:
    """Name and colour of each class of a data set by its name or path.

    Raises:
        StudyError: it is code, and that may not be run.
        DataError: it is not there, or not understood.
    """
    from trainables.data.catalogue import open_dataset

    if not own_code:
        refuse_code(data)
    dataset = open_dataset(data)
    return tuple(zip(dataset.classes, dataset.palette, strict=True))


def _config(told: dict[str, Any]) -> dict[str, Any]:
    config = told.get("config")
    return config if isinstance(config, dict) else {}


def said(error: BaseException) -> str:
    """What went wrong, in words without passwords."""
    if isinstance(error, BrokenProcessPool):
        return "the process was killed, for want of memory perhaps."
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror} ({error.filename})." if error.filename else f"{error.strerror}."
    else:
        text = str(error) if isinstance(error, HeteroakdError) else f"{type(error).__name__}: {error}"
    return redact(" ".join(text.split()))[:400]


def _stamp(spec: StudySpec, directory: Path) -> tuple[tuple[int, int], ...] | None:
    """Size and time of the storage's files; None: it has none here, and must be asked."""
    names = {"journal": (storages.JOURNAL,), "sqlite": (storages.SQLITE, f"{storages.SQLITE}-wal")}
    files = [directory / name for name in names.get(storages.locate(spec), ())]
    told = [file.stat() for file in files if file.exists()]
    return tuple((one.st_size, one.st_mtime_ns) for one in told) if files else None


def _attributes(studies: Studies) -> dict[tuple[str, int], dict[str, Any]]:
    return {
        (role, trial.number): trial.user_attrs
        for role, study in studies.items()
        for trial in study.get_trials(deepcopy=False)
    }


def _finished(frames: StudyFrames) -> int:
    return len(frames.trials_of("search", *_FINISHED))


def _differ(new: StudyFrames, old: StudyFrames) -> bool:
    same = new.summary == old.summary and all(
        _equal(getattr(new, name), getattr(old, name)) for name in ("trials", "curves", "taught", "confirmed")
    )
    return not same


def _equal(new: pd.DataFrame, old: pd.DataFrame) -> bool:
    return new.shape == old.shape and bool(new.equals(old))


def _numbers(values: object) -> list[float]:
    """What a storage holds as IoU by class; none where it is something else."""
    if not isinstance(values, (list, tuple)) or len(values) > 1000:
        return []
    whole = (value if isinstance(value, (int, float)) and math.isfinite(value) else math.nan for value in values)
    return [value if 0 <= value <= 1 else math.nan for value in whole]


def _text(value: object) -> str:
    return redact(str(value)[:2000])[:400]
