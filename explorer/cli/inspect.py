"""The verbs for what a sweep has found: they parse, call the door and print, as in app.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import explorer
from explorer.output import console

StudyDir = Annotated[Path, typer.Argument(help="A study's folder.", show_default=False)]


def dashboard(
    directories: Annotated[
        list[Path], typer.Argument(help="A study's folder; with --live, several.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option(help="The page; default: dashboard.html in the folder.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Serve pages that follow the studies while they run.")] = False,
    host: Annotated[str, typer.Option(help="With --live: the address to listen on; default: this machine's own.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="With --live: the port; 0: any free one.", min=0, max=65535)] = 8050,
    own_code: Annotated[
        bool, typer.Option("--own-code", help="With --live: run code that a study names, to show its predictions.")
    ] = False,
) -> None:
    """Write one self-contained HTML page of a study, finished or running; with --live, serve it."""
    if live:
        explorer.serve_dashboard(*directories, host=host, port=port, own_code=own_code, say=typer.echo)
        return
    if len(directories) > 1:
        raise explorer.ConfigError(f"A page shows one study, got {len(directories)}. Compare several with --live.")
    typer.echo(f"dashboard: {explorer.Study(directories[0]).dashboard(out)}")


def confirm(
    directory: StudyDir,
    top: Annotated[
        int | None, typer.Option(help="Finalists, by mIoU in the search; none: as before, or 5.", min=1)
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Fresh seeds of each; none: as before, or 5.", min=1)] = None,
    split: Annotated[
        str | None, typer.Option(help="Scored on test or val; none: as before, or test if there is one.")
    ] = None,
    time_budget: Annotated[float | None, typer.Option(help="Stop after this many seconds; resumable.")] = None,
    address: Annotated[str | None, typer.Option(help="auto, HOST:PORT or ray://HOST:10001; none: start Ray.")] = None,
) -> None:
    """Run the finalists and their students alone again on fresh seeds: how much was luck, and is one the winner?"""
    study = explorer.Study(directory).confirm(
        top, seeds, split=split, time_budget_s=time_budget, address=address, console=console()
    )
    if study.num_open_runs:
        raise typer.Exit(130)


def export(
    directory: StudyDir,
    out: Annotated[Path, typer.Option(help="The bundle's folder.")] = Path("best"),
    by: Annotated[
        str | None, typer.Option(help="The search's best by miou or gain; none: what was confirmed, else by miou.")
    ] = None,
    trial: Annotated[int | None, typer.Option(help="A search trial's number instead of the best.")] = None,
    onnx: Annotated[bool, typer.Option(help="Also the network as ONNX and torch.export files.")] = True,
    hub: Annotated[
        Path | None, typer.Option(help="Also this folder, for segmentation-models-pytorch and push.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="With --hub: of the weights, such as cc-by-4.0.")] = None,
    size: Annotated[
        str | None, typer.Option(help="Graphs of one size, height x width, such as 512x1024; none: multiples of 32.")
    ] = None,
    opset: Annotated[int | None, typer.Option(help="Of the ONNX files; none: the exporter's own.")] = None,
    ids: Annotated[bool, typer.Option("--ids", help="The ONNX files give class ids, not logits.")] = False,
    nhwc: Annotated[
        bool, typer.Option("--nhwc", help="They take pixels as cameras give them: uint8, height x width x channels.")
    ] = False,
    quantize: Annotated[bool, typer.Option(help="Also int8 and fp16, each scored on all of val.")] = True,
    max_loss: Annotated[float, typer.Option(help="Points of mIoU from which on int8 or fp16 is left out.")] = 1.0,
    qat_steps: Annotated[
        int, typer.Option(help="Fine-tune for int8 by so many steps of the trial; int8 is the better of both.")
    ] = 0,
) -> None:
    """Write a bundle: config, weights, graphs, model card, metrics, all trials, and scripts to use and to repeat it."""
    graphs: dict[str, Any] = {"size": _size(size), "opset": opset, "ids": ids, "nhwc": nhwc}
    graphs |= {"quantize": quantize, "max_loss": max_loss, "qat_steps": qat_steps}
    metrics = (
        explorer.Study(directory).export(out, by=by, trial=trial, onnx=onnx, hub=hub, licence=licence, **graphs).metrics
    )
    gain, alone = metrics["gain"], metrics["baseline_miou"]
    typer.echo(f"bundle: {out / 'best.yaml'}")
    against = f", {100 * gain:+.2f} points over the student alone ({100 * alone:.2f} %)" if gain is not None else ""
    found = metrics["confirmed"]
    typer.echo(
        f"{_why(metrics)}: trial {metrics['trial']}, {metrics['pair']}, mIoU {100 * metrics['miou']:.2f} %{against}"
    )
    if found is None:
        typer.echo("not confirmed: the best of many trials is also the luckiest; `heteroakd confirm` tells how much")
    elif not found["separable"]:
        typer.echo("not told apart from the other finalists: it has the best mean on fresh seeds")
    for name, facts in metrics["files"].items():
        if "reason" in facts:
            typer.echo(facts["reason"])
        elif "points_lost" in facts:
            lost = facts["points_lost"]
            change = f"loses {lost:.2f}" if lost >= 0 else f"has {-lost:.2f} more"
            typer.echo(f"{name}: mIoU {100 * facts['miou']:.2f} % on val, {change} points")
    if found is not None and found["gain"] is not None:
        typer.echo(_gained(found))
    if hub is not None:
        typer.echo(f"for the hub: {hub}; `heteroakd push {hub} OWNER/NAME` sends it")


def push(
    folder: Annotated[Path, typer.Argument(help="What `heteroakd export --hub` wrote.", show_default=False)],
    repository: Annotated[str, typer.Argument(help="OWNER/NAME on the hub.", show_default=False)],
    public: Annotated[bool, typer.Option("--public", help="A repository that is made is seen by everybody.")] = False,
) -> None:
    """Send a network and its card to the Hugging Face hub, with the token in HF_TOKEN."""
    typer.echo(f"pushed: {explorer.push(folder, repository, private=not public)}")


def _why(metrics: dict[str, Any]) -> str:
    among = f"of {metrics['complete_trials']} complete trials"
    if metrics["chosen"] == "confirmed":
        return f"confirmed on {metrics['confirmed']['num_seeds']} fresh seeds, {among}"
    return f"asked for, {among}" if metrics["chosen"] == "asked" else f"best by {metrics['chosen']} {among}"


def _gained(found: dict[str, Any]) -> str:
    """What was confirmed, as the last word: mean over fresh seeds, and the 90 % interval of the gain."""
    between = "one seed gives no interval"
    if found["gain_low"] is not None:
        between = f"90 % interval {100 * found['gain_low']:+.2f} to {100 * found['gain_high']:+.2f}"
    return (
        f"on average over {found['num_seeds']} fresh seeds, on {found['split']}: mIoU {100 * found['miou']:.2f} %, "
        f"{100 * found['gain']:+.2f} points over the student alone on the same seeds ({between})"
    )


def bench(
    bundle: Annotated[Path, typer.Argument(help="A folder that `heteroakd export` wrote.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="The JSON file; default: bench.json in the bundle.")] = None,
    file: Annotated[list[str] | None, typer.Option(help="This ONNX file alone; may be given several times.")] = None,
    device: Annotated[str | None, typer.Option(help="What to call this machine in it.")] = None,
    provider: Annotated[str, typer.Option(help="Of ONNX Runtime.")] = "CPUExecutionProvider",
    threads: Annotated[int, typer.Option(help="CPU threads of a run.")] = 1,
    size: Annotated[
        str | None, typer.Option(help="Height x width, such as 512x1024; none: the graph's own, or 512x512.")
    ] = None,
    runs: Annotated[int, typer.Option(help="Timed runs of each file.")] = 50,
) -> None:
    """Time a bundle's ONNX files here; elsewhere, the bundle's bench.py does it without this package."""
    options: dict[str, Any] = {"provider": provider, "threads": threads, "size": _size(size), "runs": runs}
    explorer.bench(bundle, out, files=file or (), device=device, say=typer.echo, **options)
    typer.echo(f"bench: {out or bundle / 'bench.json'}")


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise explorer.ConfigError(f"--size must be height x width, such as 512x1024, got {text!r}.")
    return int(height), int(width)


def predict(
    bundle: Annotated[Path, typer.Argument(help="A folder that `heteroakd export` wrote.", show_default=False)],
    images: Annotated[
        list[str],
        typer.Argument(
            help="Image or video files, folders of images, or patterns such as 'a/*.jpg'.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of masks/ and overlays/.")] = Path("predicted"),
    overlay: Annotated[bool, typer.Option(help="Also the classes' colours over each image.")] = True,
    masks: Annotated[
        str, typer.Option(help="Of a video: frames, a PNG each, or video, grey levels of FFV1.")
    ] = "frames",
    weights: Annotated[
        str, typer.Option(help="student, or peer: the other student of a collaborative trial.")
    ] = "student",
) -> None:
    """Write a mask, and an overlay, for each image and each frame of a video; exit with 2 if one cannot be read."""
    options: dict[str, Any] = {"overlay": overlay, "masks": masks, "weights": weights}
    done = explorer.predict(bundle, images, out, **options, say=lambda said: typer.echo(f"Error: {said}", err=True))
    num = done.num + len(done.videos)
    typer.echo(f"masks: {num} in {done.masks}")
    if done.overlays:
        typer.echo(f"overlays: {num} in {done.overlays}")
    for video, rate in done.videos.items():
        typer.echo(f"{video.name}: {rate.words}")
    if done.failed:
        raise typer.Exit(2)


def figures(
    directory: StudyDir,
    out: Annotated[Path, typer.Option(help="The figures' folder.")] = Path("figures"),
    format: Annotated[str, typer.Option(help="png, svg, pdf; several with commas.")] = "png",
    only: Annotated[str | None, typer.Option(help="Figures by name, such as surface,pairs; none: all.")] = None,
) -> None:
    """Write the dashboard's figures as files; needs a Chrome or Chromium, no network."""
    paths = explorer.Study(directory).figures(out, formats=_names(format), only=_names(only or ""))
    typer.echo(f"figures: {len(paths)} files in {out}")


def pictures(
    directory: StudyDir,
    trial: Annotated[list[int], typer.Option(help="A search trial's number; may be given several times.")],
    out: Annotated[Path, typer.Option(help="The sheet, a PNG.")] = Path("sheet.png"),
    images: Annotated[int, typer.Option(help="Images of each trial, evenly spaced in the split.", min=1)] = 4,
    name: Annotated[list[str] | None, typer.Option(help="This image instead, by file name.")] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
) -> None:
    """Draw a sheet: image, label, teacher, student and difference, for chosen trials."""
    path = explorer.Study(directory).pictures(trial, out, images=images, names=name or (), split=split)
    typer.echo(f"sheet: {path}")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def register(app: typer.Typer) -> None:
    """Add the verbs, in the order of `--help`."""
    for verb in (dashboard, confirm, export, push, predict, bench, figures, pictures):
        app.command()(verb)
