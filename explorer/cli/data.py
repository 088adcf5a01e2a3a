"""`heteroakd data ...`: what is on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import explorer

app = typer.Typer(help="Look at data sets, and split them.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Look at data sets, and split them."""


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


@app.command()
def split(
    directory: Annotated[Path, typer.Argument(help="A folder with dataset.yaml.", show_default=False)],
    val: Annotated[float | None, typer.Option(help="Share of val; none: as before, or 0.2.")] = None,
    test: Annotated[float | None, typer.Option(help="Share of test; none: as before, or 0.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="None: as before, or of 0 to 99 that whose splits are nearest to the shares.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Images that stay together have this part of the name in common: '{scene}_*'.")
    ] = None,
    lists: Annotated[
        str | None, typer.Option(help="Write files that list the images into this folder of it, not the shares.")
    ] = None,
) -> None:
    """Split a data set by shares and write that into its dataset.yaml; show the images and classes of each split."""
    typer.echo(str(explorer.split_data(directory, val=val, test=test, seed=seed, by=by, lists=lists)))
