"""`heteroakd teacher ...`: networks that are good already."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import explorer

app = typer.Typer(help="Look at teachers that are good already.", no_args_is_help=True)


@app.callback()
def teacher() -> None:
    """Look at teachers that are good already."""


@app.command()
def check(
    name: Annotated[
        str,
        typer.Argument(
            help="hf:, smp:, torchvision:, timm:, file: or ready: and what follows; docs/teachers.md lists all.",
            show_default=False,
        ),
    ],
    data: Annotated[str, typer.Option(help="A name, NAME:PATH, or a folder with dataset.yaml.")] = "earth",
    classes: Annotated[
        str | None, typer.Option(help="order or name; none: by name if it names its classes, else by order.")
    ] = None,
    fix: Annotated[
        list[str] | None,
        typer.Option("--set", help="A field of the trial: --set 'teacher_classes={water: [sea, lake]}'."),
    ] = None,
) -> None:
    """Score a teacher on val, whole and in windows, with its cost, calibration and licence; exit with 1 if it is worse
    than always saying the commonest class.
    """
    from explorer.fields import assigned

    fields: dict[str, Any] = assigned(fix or [])
    given = {"classes": fields.pop("teacher_classes", classes), "synonyms": fields.pop("teacher_synonyms", None)}
    found = explorer.check_teacher(name, data=data, **given, **fields)
    typer.echo(str(found))
    raise typer.Exit(0 if found.sound else 1)
