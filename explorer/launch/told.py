"""What has been told of each trial to somebody who cannot be asked: W&B, a user's hook. A line a fact, in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Told:
    """A file of the study's folder that only grows. A line that a dying driver tore is passed over, so that its fact is
    told again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: dict[str, int | None] = {}
        self.raised: list[str] = []
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            self._take(line)
        self._start = "\n" if text and not text.endswith("\n") else ""

    def last(self, name: str) -> int | None:
        """The last step that was told of; None: the end was, too."""
        return self._last.get(name, 0)

    def reach(self, name: str, step: int | None) -> None:
        """This step was told; None: the end."""
        self._last[name] = step
        self._write({"of": name, "step": step})

    def note(self, raised: str) -> None:
        """A sentence that is to be kept."""
        self.raised.append(raised)
        self._write({"raised": raised})

    def _write(self, fact: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{self._start}{json.dumps(fact)}\n")
        self._start = ""

    def _take(self, line: str) -> None:
        try:
            fact = json.loads(line)
        except ValueError:
            return
        if "raised" in fact:
            self.raised.append(fact["raised"])
        else:
            self._last[fact["of"]] = fact["step"]
