"""`heteroakd data ...`: what is on disk, and what other tools have written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import explorer
from explorer.output import console

app = typer.Typer(help="Look at data sets, split and import them.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Look at data sets, and split them."""


@app.command()
def check(
    path: Annotated[str, typer.Argument(help="A name, NAME:PATH, or a folder with dataset.yaml.", show_default=False)],
    split: Annotated[str | None, typer.Option(help="Look at this split alone.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Decode every mask and image, not an even choice.")] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Mean and std of each channel of train, as lines for dataset.yaml.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write a PNG of samples, labels and legend.")] = None,
) -> None:
    """Count, measure and check a data set; exit with 1 if anything is wrong with it."""
    found = explorer.check_data(path, split=split, full=full, measure=measure)
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


@app.command("import")
def import_(
    kind: Annotated[
        str,
        typer.Argument(
            help="coco, cvat, labelme, yolo, roboflow, supervisely, hf, voc-custom or rgb; docs/data.md says more.",
            show_default=False,
        ),
    ],
    src: Annotated[Path, typer.Argument(help="The folder that the tool has written.", show_default=False)],
    dst: Annotated[Path, typer.Argument(help="The data set: a new or empty folder.", show_default=False)],
    images: Annotated[Path | None, typer.Option(help="The folder of the images, where it is another one.")] = None,
    masks: Annotated[Path | None, typer.Option(help="rgb: the folder of the masks, where it is another one.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="Such as road,sky, in the order of their ids; or a file, a name a line.")
    ] = None,
    colours: Annotated[Path | None, typer.Option(help="rgb: the table, `name r g b` a line, CSV or YAML.")] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="rgb, cvat: largest distance of a colour in RGB; default: 0, of JPEG 40.")
    ] = None,
    crowd: Annotated[str | None, typer.Option(help="coco: ignore crowds (default), or draw them.")] = None,
    columns: Annotated[str | None, typer.Option(help="hf: of the image and the label, such as image,label.")] = None,
    background: Annotated[str, typer.Option(help="Name of what no annotation covers.")] = "background",
    no_background: Annotated[
        bool, typer.Option("--no-background", help="Ignore what no annotation covers; there is no background.")
    ] = False,
    ignore: Annotated[list[str] | None, typer.Option(help="A class whose pixels are ignored.")] = None,
    val: Annotated[
        float | None, typer.Option(help="Share of images for val, where SRC has no splits; default: 0.2.")
    ] = None,
    test: Annotated[
        float | None, typer.Option(help="Share of images for test, where SRC has no splits; default: 0.1.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of these splits; none: as before, or that of 0 to 99 nearest to the shares.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Images that stay together have this part of the name in common: '{scene}_*'.")
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy images instead of linking them.")] = False,
) -> None:
    """Make a data set of what another tool has written; exit with 1 if anything is left out. Again, it goes on."""
    options: dict[str, Any] = {"images": images, "masks": masks, "classes": classes, "colours": colours}
    options |= {
        "tolerance": tolerance,
        "crowd": crowd,
        "columns": columns and columns.split(","),
        "ignore": ignore or (),
    }
    options |= {"val": val, "test": test, "seed": seed, "by": by, "copy": copy}
    options["background"] = None if no_background else background
    done = explorer.import_data(kind, src, dst, console=console(), **options)
    typer.echo(str(done))
    raise typer.Exit(0 if done.complete else 1)
