"""`heteroakd data ...`: what is on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look at data sets.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Look at data sets."""


@app.command()
def check(
    path: Annotated[str, typer.Argument(help="A name, NAME:PATH, or a folder with dataset.yaml.", show_default=False)],
    split: Annotated[str | None, typer.Option(help="Look at this split alone.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Decode every mask and image, not an even choice.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write a PNG of samples, labels and legend.")] = None,
) -> None:
    """Count, measure and check a data set; exit with 1 if anything is wrong with it."""
    from explorer.cli import doctor
    from trainables.data.doctor import diagnose
    from trainables.data.sheet import write_sheet

    found = diagnose(path, split=split, full=full)
    for line in doctor.lines(found):
        typer.echo(line)
    if out is not None:
        write_sheet(found.dataset, out, splits=[facts.name for facts in found.splits])
        typer.echo(f"sheet: {out}")
    raise typer.Exit(1 if found.faults else 0)
