"""Parts of a long measurement, each in a process of its own and within a time: one that fails takes no other with it.

Slices are put end to end: what a part leaves of its own, those after it may use, and all of them together take no
longer than the sum. A part writes a line of JSON for each case it has measured (`write_cases`), so that what it had
done before it ran over, or died, is kept. Needs nothing but Python.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

Row = dict[str, Any]
Case = tuple[str, Callable[[], "Row | list[Row]"]]
"""A name, and what measures it. A row with a `problem` counts as failed, but is kept."""
MOST = 200  # letters of a reason


class Needs(Exception):
    """From a case: what this machine lacks. It is said, and does not count as failed."""


class Part(NamedTuple):
    """Attributes:
    seconds: its slice.
    needs: what it lacks here; such a part is not started.
    """

    name: str
    command: list[str]
    seconds: float
    needs: str | None = None


class Found(NamedTuple):
    """Attributes:
    state: done, failed, or skipped for what is needed.
    reason: one line; none where it is done.
    """

    name: str
    state: str
    reason: str | None
    seconds: float
    slice_s: float
    rows: list[Row]


def run(parts: Iterable[Part], *, left: float = 0.0, say: Callable[[str], None] = lambda _: None) -> list[Found]:
    """All of them, one after another.

    Args:
        left: seconds that were not used before.
        say: told of each part as it begins and ends.
    """
    found, ends = [], time.monotonic() + left
    for part in parts:
        ends += part.seconds
        say(f"{part.name} ...")
        found.append(_one(part, within=ends - time.monotonic()))
        reason = "" if found[-1].reason is None else f": {found[-1].reason}"
        say(f"{part.name} {found[-1].state} after {found[-1].seconds:.0f} s{reason}")
    return found


def _one(part: Part, *, within: float) -> Found:
    if part.needs is not None:
        return Found(part.name, "skipped", f"needs {part.needs}", 0.0, part.seconds, [])
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path, log = Path(folder) / "rows", Path(folder) / "log"
        died = _wait([*part.command, str(path)], log, within)
        rows = _rows(path)
        died = died and f"{died} {_last_line(log)}".strip()
    reasons = [f"{row['case']}: {row['problem']}" for row in rows if "problem" in row]
    needs = [row["needs"] for row in rows if "needs" in row]
    taken = round(time.monotonic() - started, 1)
    if died or reasons or not rows:
        reason = died or (reasons[0] if reasons else "it measured nothing.")
        return Found(part.name, "failed", one_line(reason), taken, part.seconds, rows)
    if len(needs) == len(rows):
        return Found(part.name, "skipped", f"needs {needs[0]}", taken, part.seconds, rows)
    return Found(part.name, "done", None, taken, part.seconds, rows)


def _wait(command: list[str], log: Path, within: float) -> str | None:
    """Why it did not end well; its children end with it."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
        try:
            code = process.wait(timeout=max(0.0, within))
        except subprocess.TimeoutExpired:
            return f"it ran over its {within:.0f} s."
        finally:
            _end(process)
    if code < 0:
        return f"it died of {signal.Signals(-code).name}."
    return f"it ended with {code}." if code else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process and all that it started: loaders and compilers would go on measuring beside the next part."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _rows(path: Path) -> list[Row]:
    """Those that are whole; the last may be torn."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def one_line(text: object) -> str:
    return " ".join(str(text).split())[:MOST]


def write_cases(cases: Iterable[Case], path: Path) -> None:
    """In the part's own process: measure each case and write its rows; one that raises stops no other."""
    with path.open("a", encoding="utf-8") as file:
        for name, measure in cases:
            for row in _measured(measure):
                file.write(json.dumps({"case": name, **row}) + "\n")
            file.flush()


def _measured(measure: Callable[[], Row | list[Row]]) -> Iterator[Row]:
    try:
        found = measure()
    except Needs as error:
        yield {"needs": str(error)}
    except Exception as error:
        yield {"problem": one_line(f"{type(error).__name__}: {error}")}
    else:
        yield from found if isinstance(found, list) else [found]
