"""The dashboard's figures as files, drawn by a Chrome or Chromium of this machine that is cut off from the network."""

from __future__ import annotations

import itertools
import logging
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from dashboards import FIGURES, report
from dashboards.frames import StudyFrames
from trainables.errors import StudyError, unknown

FORMATS = ("png", "svg", "pdf")
WIDTH, SCALE = 1000, 2  # CSS pixels, and how many pixels of a PNG each is
_MOST = 48  # choices of a figure's menus that get a file each
_NOWHERE = "127.0.0.1:9"  # a proxy that nobody is: whatever the browser asks the network for fails
_DRAWN_BY = "Figures as files are drawn by Chrome or Chromium"


def write(frames: StudyFrames, out: Path, *, formats: Sequence[str] = ("png",), only: Sequence[str] = ()) -> list[Path]:
    """Write `FIGURE.FORMAT` for each figure; one with menus, `FIGURE-CHOICE.FORMAT` for each choice.

    Args:
        out: the folder; files of these names in it are replaced.
        formats: of FORMATS.
        only: of FIGURES; none: all.

    Returns:
        The files' paths.

    Raises:
        StudyError: no such figure or format, no browser, or it fails.
    """
    check(formats=formats, only=only)
    out.mkdir(parents=True, exist_ok=True)
    jobs = [
        {"fig": drawn, "path": str(out / f"{name}.{kind}"), "opts": {"format": kind, **_size(drawn, kind)}}
        for figure in (only or FIGURES)
        for name, drawn in _choices(figure, report.draw(figure, frames))
        for kind in formats
    ]
    _render(jobs)
    return [Path(str(job["path"])) for job in jobs]


def check(*, formats: Sequence[str], only: Sequence[str]) -> None:
    """Before a study is read for nothing.

    Raises:
        StudyError: no such figure or format.
    """
    if not formats:
        raise StudyError(f"--format names no format. Known: {', '.join(FORMATS)}.")
    for kind, names, known in (("format", formats, FORMATS), ("figure", only, FIGURES)):
        for name in names:
            if name not in known:
                raise StudyError(unknown(kind, name, known))


def _size(drawn: go.Figure, kind: str) -> dict[str, float]:
    width = max(WIDTH, int((drawn.layout.meta or {}).get("min_width") or 0))
    return {"width": width, "height": int(drawn.layout.height or 460), "scale": SCALE if kind == "png" else 1}


def _choices(name: str, drawn: go.Figure) -> Iterator[tuple[str, go.Figure]]:
    """The figure in every state of its menus, which paper has not, by name; one without menus as it is."""
    menus = [[button for button in menu.buttons if button.visible is not False] for menu in drawn.layout.updatemenus]
    if not menus or math.prod(map(len, menus)) > _MOST:
        yield name, _bare(drawn)
        return
    for number, buttons in enumerate(itertools.product(*menus), start=1):
        chosen = go.Figure(drawn)
        for button in buttons:
            _apply(chosen, button)
        words = "-".join(_plain(str(button.label)) for button in buttons)
        chosen.layout.title.text = f"{chosen.layout.title.text}: {', '.join(str(button.label) for button in buttons)}"
        yield f"{name}-{number:02}-{words}"[:80].rstrip("-"), _bare(chosen)


def _bare(drawn: go.Figure) -> go.Figure:
    """Without the menus, which nobody can open in a picture, and the room for them."""
    if drawn.layout.updatemenus:
        drawn.layout.margin.t = None
    drawn.layout.updatemenus = None
    return drawn


def _apply(drawn: go.Figure, button: Any) -> None:
    """What plotly.js does when the button is chosen."""
    args = [dict(part) if isinstance(part, dict) else part for part in button.args or ()]
    if button.method == "relayout":
        drawn.plotly_relayout(args[0])
    elif button.method == "restyle":
        drawn.plotly_restyle(*args)
    elif button.method == "update":
        drawn.plotly_update(*args)


def _plain(label: str) -> str:
    """As part of a file's name: it leads nowhere else."""
    return re.sub(r"[^\w]+", "-", re.sub(r"<[^>]*>", "", label)).strip("-")[:40]


def _render(jobs: list[dict[str, Any]]) -> None:
    if not jobs:
        return
    logging.getLogger("choreographer").setLevel(logging.CRITICAL)  # what it would say is in the exception
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies
        import kaleido
        from kaleido.kaleido import ChromeNotFoundError

        try:
            kaleido.write_fig_from_object_sync(
                jobs, cancel_on_error=True, kopts={"mathjax": False, "proxy_server": _NOWHERE}
            )
        except ChromeNotFoundError:
            raise StudyError(f"{_DRAWN_BY}, and none is here. Install one, or name it in BROWSER_PATH.") from None
        except OSError:
            raise
        except Exception as error:  # a browser that dies, or never answers
            reason = " ".join(str(error.args[0]).split())[:300] if error.args else type(error).__name__
            raise StudyError(f"{_DRAWN_BY}, which failed here: {reason}. Name another in BROWSER_PATH.") from None
