"""`heteroakd data ...`: what is on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import explorer

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
    found = explorer.check_data(path, split=split, full=full)
    typer.echo(str(found))
    if out is not None:
        typer.echo(f"sheet: {found.sheet(out)}")
    raise typer.Exit(0 if found.sound else 1)
