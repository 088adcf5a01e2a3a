"""A sweep through Ray Client (ray://HOST:10001): all of it runs on the cluster, its output is shown here.

Tune itself must not run at this end, since a client's network would then be part of every result. So a task on the
cluster's head calls `sweep.sweep` or `sweep.resume`, with our packages shipped. The study lives as long as this process
is connected; what is open when it leaves is for `heteroakd resume`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import ray
from ray.exceptions import RayError, RayTaskError, TaskCancelledError
from ray.util.queue import Queue
from rich.console import Console

from explorer.launch import sweep as sweeping
from explorer.launch import travel
from explorer.launch.cluster import QUIET, knock, present_token, refused_in_words
from explorer.launch.tasks import of_system
from explorer.search.deaths import Death
from explorer.study import SPEC_FILE, StudySpec
from trainables.errors import HeteroakdError, Interrupted, StudyError

HEAD = {"node:__internal_head__": 0.001}  # workers may be pre-emptible
SCHEME = "ray://"


def sweep(
    spec: StudySpec,
    directory: Path,
    *,
    console: Console,
    address: str,
    trust_storage: bool = False,
    force: bool = False,
) -> int:
    """`sweep.sweep` on the cluster.

    Raises:
        HeteroakdError: as there; or a path that the cluster cannot see, or no cluster.
    """
    sweeping.check(spec)
    folder = PurePosixPath(directory)
    travel.check(spec, folder)
    arguments = spec.model_dump(mode="json"), str(folder), trust_storage, force
    return _run(address, folder, travel.own_code(spec), console, _sweep_there, *arguments)


def resume(
    directory: Path,
    *,
    console: Console,
    address: str,
    time_budget_s: float | None = None,
    trust_storage: bool = False,
    **instead: Any,
) -> int:
    """`sweep.resume` on the cluster. The user's own code goes along if the study's folder is seen from here."""
    return with_study(address, directory, console, _resume_there, time_budget_s, trust_storage, instead)


def with_study(address: str, directory: Path, console: Console, verb: Callable[..., int], *arguments: Any) -> int:
    """A verb on the cluster that is given a console, the folder of a study that is there, and the arguments.

    Raises:
        HeteroakdError: a path that the cluster cannot see, no cluster, or what the verb raises.
    """
    folder = PurePosixPath(directory)
    travel.check_folder(folder)
    code = travel.own_code(StudySpec.of(directory)) if (directory / SPEC_FILE).exists() else []
    return _run(address, folder, code, console, verb, str(folder), *arguments)


def _sweep_there(console: Console, spec: dict[str, Any], directory: str, trust: bool, force: bool) -> int:
    parsed = StudySpec.parse(spec)
    options: dict[str, Any] = {"trust_storage": trust, "force": force}
    return sweeping.sweep(parsed, Path(directory), console=console, address="auto", **options)


def _resume_there(
    console: Console, directory: str, budget_s: float | None, trust: bool, instead: dict[str, Any]
) -> int:
    return sweeping.resume(
        Path(directory), console=console, address="auto", time_budget_s=budget_s, trust_storage=trust, **instead
    )


def _drive(verb: Callable[..., int], said: Queue, width: int, *arguments: Any) -> int:
    """On the cluster: run the verb with a console whose lines go to the client."""
    wire = cast("IO[str]", _Wire(said))
    return verb(Console(file=wire, width=width), *arguments)


def _run(
    address: str, directory: PurePosixPath, code: list[str], console: Console, verb: Callable[..., int], *arguments: Any
) -> int:
    with _client(address, directory, code):
        said = Queue(actor_options={"num_cpus": 0, "resources": HEAD})
        task: Any = ray.remote(num_cpus=0, resources=HEAD, max_retries=0)(_drive)
        running = task.remote(verb, said, console.width, *arguments)
        try:
            return _listen(running, said, console)
        except KeyboardInterrupt:
            console.print("Stopping the sweep on the cluster.")
            ray.cancel(running)
            try:
                return _listen(running, said, console)
            except (KeyboardInterrupt, RayTaskError):  # cancelled where Tune does not catch it, or makes it its own
                again = f"heteroakd resume {shlex.quote(str(directory))}"
                console.print(f"Go on with: {again}", markup=False, soft_wrap=True)
                raise KeyboardInterrupt from None


def _listen(running: Any, said: Queue, console: Console) -> int:
    """Show what the sweep says until it ends.

    Returns:
        Trials left open.

    Raises:
        HeteroakdError: as the sweep does; Interrupted: its process is lost.
    """
    done: list[Any] = []
    while not done:
        done, _ = ray.wait([running], timeout=0.5)
        for text in said.get_nowait_batch(said.qsize()):
            console.print(text, end="", markup=False, highlight=False)
    try:
        return int(ray.get(running))
    except TaskCancelledError:
        raise KeyboardInterrupt from None
    except RayTaskError as error:
        if isinstance(error.cause, HeteroakdError):
            raise error.cause from None
        if (reason := of_system(error)) is not None:
            raise Interrupted(f"The sweep's process on the cluster failed: {reason}. Mend that, then resume.") from None
        raise
    except RayError as error:  # its process, or the node it was on
        raise Interrupted(
            f"The sweep's process on the cluster died ({Death(error).reason.rstrip('.')}). Resume the study."
        ) from None


@contextmanager
def _client(address: str, directory: PurePosixPath, code: list[str]) -> Iterator[None]:
    present_token()
    try:
        with refused_in_words(address):
            knock(address.removeprefix(SCHEME))
            _connect(address, travel.environment(directory, code))
    except RuntimeError as error:  # of other versions, or the cluster could not start a process for this client
        said = " ".join(str(error).split())[:400].rstrip(".")
        raise StudyError(
            f"{said}. Through ray:// both ends need the same Python and Ray; or use `heteroakd submit`."
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _connect(address: str, environment: dict[str, Any]) -> None:
    """Raises:
    StudyError: the cluster answered, but could not start a process for this client; a busy head may need longer.
    """
    try:
        ray.init(address=address, runtime_env=environment, **QUIET)
    except ConnectionAbortedError as error:  # its message ends with the traceback of the cluster's end
        reason = str(error).strip().splitlines()[-1][:400].rstrip(".")
        raise StudyError(
            f"The Ray cluster at {address!r} could not start a process for this client ({reason}). Try again when its "
            "head is less busy, or use `heteroakd submit`."
        ) from None


class _Wire:
    """What a console asks of a file, for text that another process reads from a queue."""

    def __init__(self, said: Queue) -> None:
        self._said = said

    def write(self, text: str) -> int:
        with suppress(RayError):  # the client has gone; the sweep ends with it
            self._said.put(text)
        return len(text)

    def flush(self) -> None:
        """Nothing: each write is on its way."""
