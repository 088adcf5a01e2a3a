"""Where a sweep or a confirmation is driven, what it is told to, and what it leaves open when it is interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from explorer import output
from trainables.errors import HeteroakdError

if TYPE_CHECKING:
    from rich.console import Console


class Open(NamedTuple):
    """What has not ended: `trials` of the sweep, and `runs` of a confirmation that was asked for."""

    trials: int = 0
    runs: int = 0


def is_remote(address: str | None) -> bool:
    """Whether all of it runs on a cluster, through Ray Client."""
    return address is not None and address.startswith("ray://")


def launcher(address: str | None) -> Any:
    """The module whose `sweep` and `resume` drive: on the cluster, else in this process."""
    if is_remote(address):
        from explorer.launch import remote

        return remote
    from explorer.launch import sweep

    return sweep


def confirmer(address: str | None) -> Any:
    """The module whose `confirm` and `go_on` drive."""
    if is_remote(address):
        from explorer.confirm import remote

        return remote
    from explorer.confirm import run

    return run


def drive(run: Callable[[], Open], directory: Path, console: Console, *, again: str) -> Open:
    """Run a driver, and say what it leaves open. Ctrl-C ends it and not the caller, where one can go on.

    Args:
        run: drives, and returns what it left open.
        directory: the study's folder, as it was given.
        again: the verb that goes on: resume or confirm.

    Raises:
        KeyboardInterrupt: no study was begun yet.
    """
    with _own_ctrl_c():
        try:
            left = run()
        except KeyboardInterrupt:
            left = _counted(directory)
    trials = 0 if again == "confirm" else left.trials
    if number := trials or left.runs:
        say(console, f"{number} {'trials' if trials else 'runs'} are open. Go on with: heteroakd {again} {directory}")
    return left


def _counted(directory: Path) -> Open:
    """After an interrupt.

    Raises:
        KeyboardInterrupt: there is nothing to go on with, or it cannot be seen from here.
    """
    with suppress(HeteroakdError):
        if (found := count(directory)) and any(found):
            return found
    raise KeyboardInterrupt("interrupted before the study was begun") from None


def count(directory: Path) -> Open | None:
    """What a study's folder has open; None where no study can be seen from here.

    Raises:
        StudyError: its storage cannot be read.
    """
    from explorer.results.left import num_open
    from explorer.results.trials import load_studies
    from explorer.study import SPEC_FILE

    return Open(*num_open(*load_studies(directory))) if (directory / SPEC_FILE).exists() else None


def summarise(directory: Path, left: Open, console: Console, *, project: str | None = None) -> None:
    """Send W&B the summary of a sweep that is over, where the study can be seen from here and asks for it.

    Args:
        project: of W&B, instead of the spec's.
    """
    from explorer.study import SPEC_FILE, StudySpec

    if left.trials or not (directory / SPEC_FILE).exists():
        return
    if project := project or StudySpec.of(directory).wandb:
        from explorer.show import wandb_summary

        wandb_summary.send(directory, project, say=lambda sentence: say(console, sentence))


def console() -> Console:
    """This process's output. A notebook gets plain lines there, and the table of a running sweep as HTML."""
    from rich.console import Console

    from explorer.launch.boards import in_notebook

    if in_notebook():
        return Console(force_jupyter=False, force_terminal=False, width=100)
    return output.console()


def say(console: Console, sentence: str) -> None:
    """A text that may hold anything, brackets included."""
    console.print(sentence, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _own_ctrl_c() -> Iterator[None]:
    """Ray Tune leaves its handler of SIGINT behind, which would swallow the next Ctrl-C."""
    here = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if here else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
