"""Where trials are logged: MLflow and TensorBoard, each by Ray Tune's own logger callback, driven with stand-ins."""

from __future__ import annotations

import logging
import os
import struct
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from optuna.trial import TrialState

from explorer.redact import redact
from trainables.errors import StudyError
from trainables.extras import need

OWNER = "heteroakd.study"  # tag of a run: whose it is, where studies of one name share an experiment
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it would print the password in it
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # else a server that is gone holds the sweep for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # who names a folder wants it
}


@dataclass(frozen=True)
class StandIn:
    """What Tune's logger callbacks ask of a trial; equal by name."""

    name: str
    config: dict[str, Any] = field(compare=False)
    folder: Path = field(compare=False)

    @property
    def evaluated_params(self) -> dict[str, Any]:
        return self.config

    @property
    def local_path(self) -> str:
        return str(self.folder)

    def init_local_path(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def __str__(self) -> str:
        return self.name


class Log(Protocol):
    """Where trials are logged."""

    name: str

    def begin(self, trial: StandIn) -> int | None:
        """Open a trial's log: the last step that it holds; None: it holds the end too."""

    def add(self, trial: StandIn, step: int, metrics: Mapping[str, float]) -> None:
        """One report."""

    def end(self, trial: StandIn, state: TrialState, reason: str) -> None:
        """The trial is over."""

    def close(self, *, whole: bool) -> None:
        """Nothing more comes from this driver; a trial that is not over may go on under the next.

        Args:
            whole: it was a sweep, and all of it is over.
        """


class MlflowLog:
    """A run a trial in the experiment of the study's name. PRUNED is KILLED there; the tag `state` has our word."""

    name = "MLflow"

    def __init__(self, uri: str, *, experiment: str, owner: str) -> None:
        """Raises:
        StudyError: see `reach_mlflow`.
        """
        with _in_words(uri):
            self._open(uri, experiment, owner)

    def _open(self, uri: str, experiment: str, owner: str) -> None:
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        self._log: Any = MLflowLoggerCallback(tracking_uri=uri, experiment_name=experiment, tags={OWNER: owner})
        self._log.setup()
        self._client = _client(uri)
        self._known = {
            run.data.tags.get("trial_name"): run for run in self._runs() if run.data.tags.get(OWNER) == owner
        }

    def _runs(self) -> Iterator[Any]:
        page = None
        while True:
            found = self._client.search_runs([self._log.mlflow_util.experiment_id], page_token=page)
            yield from found
            page = found.token
            if not page:
                return

    def begin(self, trial: StandIn) -> int | None:
        known, last = self._known.get(trial.name), 0
        if known is not None:
            if known.info.status != "RUNNING":
                return None
            self._log._trial_runs[trial] = known.info.run_id
            history = self._client.get_metric_history(known.info.run_id, "miou")
            last = max((metric.step for metric in history), default=0)
        self._log.log_trial_start(trial)
        return last

    def add(self, trial: StandIn, step: int, metrics: Mapping[str, float]) -> None:
        self._log.log_trial_result(0, trial, {**metrics, "training_iteration": step})

    def end(self, trial: StandIn, state: TrialState, reason: str) -> None:
        run = self._log._trial_runs[trial]
        for name, value in {"state": state.name, "reason": reason}.items():
            if value:
                self._client.set_tag(run, name, value)
        if state == TrialState.PRUNED:
            self._client.set_terminated(run, "KILLED")
        else:
            self._log.log_trial_end(trial, failed=state == TrialState.FAIL)

    def close(self, *, whole: bool) -> None:
        """Nothing: the server has everything, and a run that is not over is RUNNING, as in the storage."""


class TensorboardLog:
    """A folder a trial; a trial that goes on gets another file there, which TensorBoard shows as one."""

    name = "TensorBoard"

    def __init__(self) -> None:
        from ray.tune.logger import TBXLoggerCallback

        self._log: Any = TBXLoggerCallback()
        unlike = f".{uuid.uuid4().hex[:8]}"  # two files of one second have one name, and the second empties the first
        self._log._summary_writer_cls = partial(self._log._summary_writer_cls, filename_suffix=unlike)

    def begin(self, trial: StandIn) -> int | None:
        last = 0
        for event in events(trial.folder):
            if any(value.tag.startswith("state") for value in event.summary.value):
                return None
            last = max(last, event.step)
        self._log.log_trial_start(trial)
        return last

    def add(self, trial: StandIn, step: int, metrics: Mapping[str, float]) -> None:
        self._log.log_trial_result(0, trial, {**metrics, "training_iteration": step})

    def end(self, trial: StandIn, state: TrialState, reason: str) -> None:
        """With the state as text and among the hyper-parameters."""
        self._log._trial_writer[trial].add_text("state", f"{state.name} {reason}".strip())
        self._log.log_trial_end(replace(trial, config={**trial.config, "state": state.name}))

    def close(self, *, whole: bool) -> None:
        for writer in self._log._trial_writer.values():
            writer.close()


def events(folder: Path) -> Iterator[Any]:
    """The events (TensorBoard's protocol buffers) that a folder holds; a torn one ends its file."""
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.glob("events.out.tfevents.*")):
        data, start = path.read_bytes(), 0
        while len(data) >= start + 12:
            (length,) = struct.unpack_from("<Q", data, start)  # then 4 bytes of sum, the event, 4 bytes of sum
            body = data[start + 12 : start + 12 + length]
            if len(body) < length:
                break
            with suppress(DecodeError):
                yield Event.FromString(body)
            start += length + 16


def reach_mlflow(uri: str) -> None:
    """Ask a tracking server once.

    Raises:
        StudyError: MLflow is not installed, or nothing answers.
    """
    with _in_words(uri):
        _client(uri).search_experiments(max_results=1)


@contextmanager
def quiet() -> Iterator[None]:
    """MLflow and its database tools tell of themselves in warnings and logs, and over the network unless forbidden."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def first_line(error: BaseException) -> str:
    """What an exception says, fit to be shown."""
    lines = redact(str(error)).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")


@contextmanager
def _in_words(uri: str) -> Iterator[None]:
    need("mlflow")
    try:
        with quiet():
            yield
    except Exception as error:  # MLflow's, its client's or its database's
        raise StudyError(
            f"MLflow cannot be reached at {redact(uri)!r}: {first_line(error)}. Check the URI and that the server runs."
        ) from None


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)
