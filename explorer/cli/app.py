"""The command line: it parses, calls the Python door, and prints. The door imports late, so that --help is instant."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import explorer
from explorer.cli import inspect
from explorer.cli.data import app as data_app
from explorer.cli.teacher import app as teacher_app
from explorer.output import console
from explorer.redact import redact

app = typer.Typer(
    name="heteroakd",
    help="Search what makes heterogeneous knowledge distillation pay off for your segmentation student.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
app.add_typer(teacher_app, name="teacher")

StudyDir = Annotated[Path, typer.Argument(help="A study's folder.", show_default=False)]
Address = Annotated[str | None, typer.Option(help="auto, HOST:PORT or ray://HOST:10001; none: start Ray.")]
TrustStorage = Annotated[
    bool, typer.Option("--trust-storage", help="The storage is yours alone: CMA-ES may unpickle from it.")
]
StopWhen = Annotated[
    float | None, typer.Option(help="Stop once another 10 trials are expected to bring fewer points; 0: never.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Go on with own teacher weights that score below always saying one class.")
]
Mlflow = Annotated[
    str | None, typer.Option(help="Log to MLflow too: http://HOST:PORT, sqlite:///FILE, file:FOLDER or env:NAME.")
]
Tensorboard = Annotated[
    bool | None, typer.Option("--tensorboard", help="Write TensorBoard's events too, to tensorboard/ in the folder.")
]

Wandb = Annotated[str | None, typer.Option(help="Log to Weights & Biases too: PROJECT or ENTITY/PROJECT.")]
Hook = Annotated[str | None, typer.Option(help="A class of yours, told of reports and ends: package.module:Hook.")]


@app.command()
def sweep(
    spec: Annotated[
        Path | None, typer.Argument(help="A study spec (YAML); or use --preset.", show_default=False)
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Such as heteroakd or lambdas; docs/search.md lists all.")] = None,
    data: Annotated[str | None, typer.Option(help="earth, or the path of a folder with dataset.yaml.")] = None,
    pair: Annotated[str | None, typer.Option(help="Teacher and student; `heteroakd pairs` lists them.")] = None,
    trials: Annotated[int | None, typer.Option(help="Trials of the search; baselines come on top.")] = None,
    steps: Annotated[int | None, typer.Option(help="Budget of a trial, optimiser steps.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Such as 0,1,2.")] = None,
    sampler: Annotated[str | None, typer.Option(help="An Optuna sampler: tpe, random, gp, cmaes, ...")] = None,
    pruner: Annotated[str | None, typer.Option(help="An Optuna pruner: hyperband, median, nop, ...")] = None,
    budget: Annotated[
        str | None, typer.Option(help="What trials have equally much of: steps, seconds or gmac.")
    ] = None,
    cpus: Annotated[float | None, typer.Option(help="CPU cores per trial.")] = None,
    gpus: Annotated[float | None, typer.Option(help="GPUs per trial; may be a fraction.")] = None,
    concurrent: Annotated[int | None, typer.Option(help="Trials, or groups, at a time.")] = None,
    group: Annotated[str | None, typer.Option(help="Trials that share a teacher's forward: a number, or auto.")] = None,
    time_budget: Annotated[float | None, typer.Option(help="Stop after this many seconds; resumable.")] = None,
    stop_when: StopWhen = None,
    storage: Annotated[
        str | None, typer.Option(help="journal, sqlite, a database URL, grpc://HOST:PORT or env:NAME.")
    ] = None,
    fix: Annotated[list[str] | None, typer.Option("--set", help="Fix a field of the trial: --set lr=0.002.")] = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder; default: sweeps/NAME.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Show the plan and its hours, from step times measured here.")] = False,
    address: Address = None,
    trust_storage: TrustStorage = False,
    force: Force = False,
    mlflow: Mlflow = None,
    tensorboard: Tensorboard = None,
    wandb: Wandb = None,
    hook: Hook = None,
) -> None:
    """Launch a sweep: teachers, students alone, then the search. Ctrl-C leaves it resumable."""
    given = {
        "preset": preset,
        "num_trials": trials,
        "seeds": _integers(seeds) if seeds else None,
        "sampler": sampler,
        "pruner": pruner,
        "budget": budget,
        "cpus_per_trial": cpus,
        "gpus_per_trial": gpus,
        "max_concurrent": concurrent,
        "group_size": int(group) if group and group.isdecimal() else group,
        "time_budget_s": time_budget,
        "stop_when": stop_when,
        "storage": storage,
        "mlflow": mlflow,
        "tensorboard": tensorboard,
        "wandb": wandb,
        "hook": hook,
    }
    trial = {"data": data, "pair": pair, "steps": steps}
    if spec is None and preset is None:
        raise explorer.ConfigError("Nothing to search: give a spec file, or --preset.")
    changes = {"set": _fields(fix or []), **_without_none({**given, **trial})}
    if dry_run:
        explorer.dry_run(spec or {}, console=console(), **changes)
        return
    options: dict[str, Any] = {"address": address, "trust_storage": trust_storage, "force": force}
    _close(explorer.sweep(spec or {}, out, console=console(), **options, **changes))


@app.command()
def resume(
    directory: StudyDir,
    time_budget: Annotated[float | None, typer.Option(help="Stop after this many seconds.")] = None,
    stop_when: StopWhen = None,
    address: Address = None,
    trust_storage: TrustStorage = False,
    mlflow: Mlflow = None,
    tensorboard: Tensorboard = None,
    wandb: Wandb = None,
    hook: Hook = None,
) -> None:
    """Go on with an interrupted sweep, every running trial from its last checkpoint; then with its confirmation."""
    _close(
        explorer.resume(
            directory,
            time_budget_s=time_budget,
            stop_when=stop_when,
            address=address,
            trust_storage=trust_storage,
            mlflow=mlflow,
            tensorboard=tensorboard,
            wandb=wandb,
            hook=hook,
            console=console(),
        )
    )


@app.command()
def submit(
    spec: Annotated[Path, typer.Argument(help="A study spec (YAML).", show_default=False)],
    address: Annotated[str, typer.Option(help="A Ray cluster's dashboard: http://HOST:8265.")],
    out: Annotated[Path, typer.Option(help="The study's folder, absolute, on storage that all nodes see.")],
    runtime_env: Annotated[Path | None, typer.Option(help="YAML with more of Ray's runtime_env.")] = None,
    follow: Annotated[bool, typer.Option(help="Show the job's log; exit with its code.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on with the study that --out holds.")] = False,
    trust_storage: TrustStorage = False,
    force: Force = False,
) -> None:
    """Hand a sweep to a Ray cluster as a job."""
    code = explorer.submit(
        spec,
        out,
        address=address,
        console=console(),
        runtime_env=runtime_env,
        resume=resume,
        follow=follow,
        trust_storage=trust_storage,
        force=force,
    )
    raise typer.Exit(code)


inspect.register(app)


@app.command()
def train(
    config: Annotated[
        Path, typer.Argument(help="A trial's config, such as an exported best.yaml.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of checkpoints and log; default: trial-DIGEST.")] = None,
) -> None:
    """Train one trial without Ray; on again from its last checkpoint if the folder has one."""
    done = explorer.train(config, out, say=typer.echo)
    typer.echo(f"mIoU {100 * done.miou:.4f} % after {done.last.step} steps; checkpoint and log in {done.directory}")


@app.command()
def pairs(
    height: Annotated[int, typer.Option(help="Image height for GMAC, a multiple of 32.")] = 512,
    width: Annotated[int, typer.Option(help="Image width for GMAC, a multiple of 32.")] = 1024,
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 19,
    student: Annotated[str | None, typer.Option(help="Rank teachers for this one instead of listing pairs.")] = None,
    data: Annotated[str, typer.Option(help="With --student: a name, NAME:PATH, or a folder.")] = "earth",
    teachers: Annotated[
        str | None, typer.Option(help="With --student: r101,hf:REPO,...; none: those of its known pairs.")
    ] = None,
    steps: Annotated[int, typer.Option(help="With --student: of its brief training alone.", min=1)] = 100,
    fix: Annotated[
        list[str] | None,
        typer.Option("--set", help="With --student: a field of the trial: --set 'teacher_recipe={steps: 800}'."),
    ] = None,
) -> None:
    """List the known pairs with family, parameters, GMAC, logit stride and licences; or, with --student, rank teachers
    for one by what they know that it does not, before anything is distilled.
    """
    from explorer.cli.pair_table import licence_lines, pair_table, rank_lines, rank_table

    if student is not None:
        named = [name.strip() for name in teachers.split(",")] if teachers else None
        ranked = explorer.rank_teachers(
            student, data=data, teachers=named, steps=steps, say=typer.echo, **_fields(fix or [])
        )
        console().print(rank_table(ranked, title=f"Teachers for {student} on {data}"))
        for line in rank_lines(ranked, steps=steps):
            typer.echo(line)
        return
    if teachers or fix:
        raise explorer.ConfigError("--teachers and --set are for a student's teachers. Give --student too.")
    known = explorer.pairs(height=height, width=width, classes=classes)
    console().print(pair_table(known, title=f"GMAC for one {height}x{width} image, {classes} classes"))
    typer.echo("Licences, as each source states them:")
    for line in licence_lines(known):
        typer.echo(f"  {line}")


@app.command()
def check(
    name: Annotated[
        str, typer.Argument(help="Your package.module:name, a method, a network or a data set.", show_default=False)
    ],
    fix: Annotated[
        list[str] | None, typer.Option("--set", help="A field that a loss is built with: --set own.alpha=0.5.")
    ] = None,
) -> None:
    """Hold a loss, network or data set to the claims that ours are tested with."""
    raise typer.Exit(0 if explorer.check(name, set=_fields(fix or []), console=console()).holds else 1)


@app.command()
def storage(
    directory: StudyDir,
    host: Annotated[str, typer.Option(help="Where to listen. Nothing asks who calls, so keep it to this machine.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Where to listen.", min=1, max=65535)] = 13000,
) -> None:
    """Serve a study's storage to many workers and readers, who name it grpc://HOST:PORT."""
    explorer.serve_storage(directory, host=host, port=port, say=typer.echo)


def main() -> None:
    """Entry point: a user's mistake is one sentence and exit code 2, never a traceback.

    What the terminal's encoding lacks, such as a letter of a name under LC_ALL=C, is shown as `?`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except OSError as error:
        typer.echo(f"Error: {redact(str(error))}", err=True)
        sys.exit(2)
    except ValueError as error:
        if not isinstance(error, explorer.HeteroakdError):
            raise
        typer.echo(f"Error: {redact(str(error))}", err=True)
        sys.exit(2)


def _close(study: explorer.Study) -> None:
    typer.echo(f"study: {study.given}")
    if study.num_open or study.num_open_runs:
        raise typer.Exit(130)


def _fields(assignments: list[str]) -> dict[str, Any]:
    from explorer.fields import assigned

    return assigned(assignments)


def _integers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise explorer.ConfigError(f"--seeds needs integers such as 0,1,2, got {text!r}.") from None


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
