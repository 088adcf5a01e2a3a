"""Study: a folder of trials as an object to ask. Nothing is kept: every answer is read from the study's storage."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import fields
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.api import driving, shown
from explorer.api.driving import Open
from explorer.api.given import path
from explorer.api.redacted import redacted
from trainables.errors import ConfigError, HeteroakdError, StudyError, unknown
from trainables.extras import need

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.console import Console

    from dashboards.frames import StudyFrames
    from explorer.api.bundle import Bundle
    from explorer.study import StudySpec

_RANKED = ("miou", "gain")


@redacted()
def open_study(directory: str | os.PathLike[str]) -> Study:
    """A study that was begun, running or finished.

    Raises:
        StudyError: the folder holds none.
    """
    study = Study(directory)
    study.spec  # noqa: B018, read, so that a folder without a study is refused here
    return study


class Study:
    """A study's folder. Frames are pandas', figures plotly's; mIoU and gains are in [0, 1], as in the storage.

    While its sweep runs elsewhere, each call sees what has been recorded by then.

    Attributes:
        directory: the folder, absolute.
        given: as it was given.
    """

    def __init__(self, directory: str | os.PathLike[str], *, left: Open | None = None) -> None:
        """Args:
        left: what a driver on a cluster said is open, where the folder cannot be seen from here.
        """
        self.given = path(directory)
        self._left = left
        self._analysed: tuple[StudyFrames, StudyFrames] | None = None
        self.directory = self.given.absolute()

    @property
    def spec(self) -> StudySpec:
        """What is searched, as it was resolved at launch.

        Raises:
            StudyError: the folder holds no study.
        """
        from explorer.study import StudySpec

        return StudySpec.of(self.directory)

    @property
    def num_open(self) -> int:
        """Trials that have not ended: `resume` runs them."""
        return self._open().trials

    @property
    def num_open_runs(self) -> int:
        """Runs of a confirmation that was asked for and has not ended: `resume` and `confirm` run them."""
        return self._open().runs

    @redacted()
    def frames(self, *, analyse: bool = True) -> StudyFrames:
        """All tables of the study; `help(dashboards.frames.StudyFrames)` says what their columns mean.

        Args:
            analyse: also the statistics, which take seconds for hundreds of trials; once for the same trials.

        Raises:
            StudyError: the folder holds no study, or no trials yet.
        """
        from explorer.results.trials import load_frames
        from explorer.statistics.sensitivity import analyse as analysed

        now = load_frames(self.directory, analyse=False)
        if not analyse:
            return now
        if self._analysed is None or not _same(self._analysed[0], now):
            self._analysed = now, analysed(now)
        return self._analysed[1]

    def frame(self, name: str) -> pd.DataFrame:
        """One table by name: trials, curves, further, taught, dimensions, noise, importance, interactions, gains,
        pooled, surface, local, ranks or confirmed. It is the caller's own, and empty where nothing is known yet.

        Raises:
            StudyError: no such table, or no study.
        """
        from dashboards.frames import COLUMNS

        if name not in COLUMNS:
            raise StudyError(unknown("frame", name, COLUMNS))
        analyse = name not in ("trials", "curves", "further", "taught", "dimensions", "noise", "confirmed")
        return getattr(self.frames(analyse=analyse), name).copy()

    def trials(self) -> pd.DataFrame:
        """One row a trial of the search and of the students alone."""
        return self.frame("trials")

    def curves(self) -> pd.DataFrame:
        """Every reported mIoU: one row a trial and step."""
        return self.frame("curves")

    def importance(self) -> pd.DataFrame:
        """What decides mIoU: the share of each dimension with its 90 % interval."""
        return self.frame("importance")

    def gains(self) -> pd.DataFrame:
        """What each pair gains over the matched student alone, with its 90 % interval; `equal`: at equal what."""
        return self.frame("gains")

    def best(self, num: int = 10, *, by: str = "miou") -> pd.DataFrame:
        """Complete trials of the search, the best first; scores and params come first among the columns.

        The order is that of `believed`, what the config has on average over seeds as far as the trials tell, so that
        luck does not decide; `believed_low` and `believed_high` are its 90 % interval, where a config was repeated.
        `confirm` measures it on fresh seeds.

        Args:
            by: miou or gain.
        """
        from dashboards.frames import COLUMNS

        if by not in _RANKED:
            raise ConfigError(f"by must be miou or gain, got {by!r}.")
        done = self.frames(analyse=False).best(by).head(num)
        params = [name for name in done if name.startswith("param.") and done[name].notna().any()]
        known = [name for name in COLUMNS["believed"] if name != "number"]
        front = ["number", "miou", "baseline", "gain", *params, *known, "miou_low", "miou_high"]
        rest = [name for name in COLUMNS["trials"] if name not in (*front, "role", "state", "reason")]
        return done[[*front, *rest]]

    def figure(self, name: str) -> go.Figure:
        """One figure of the dashboard, such as history, curves, importance, gains or confirmed.

        Raises:
            StudyError: no such figure, or no study.
        """
        need("plotly")
        from dashboards import FIGURES, report

        if name not in FIGURES:
            raise StudyError(unknown("figure", name, FIGURES, f"Figures: {', '.join(FIGURES)}."))
        return report.draw(name, self.frames())

    @redacted()
    def dashboard(self, out: str | os.PathLike[str] | None = None) -> Path:
        """Write one self-contained HTML page, of about 5 MB.

        Args:
            out: the page; none: dashboard.html in the study's folder.

        Raises:
            ConfigError: `out` cannot be written.
            StudyError: no study.
        """
        need("plotly")
        from dashboards import report
        from trainables.kept import atomic

        target = self.given / "dashboard.html" if out is None else path(out)
        atomic.check_file(target)
        frames = self.frames()
        target.parent.mkdir(parents=True, exist_ok=True)
        return report.write(frames, target)

    @redacted()
    def figures(
        self,
        out: str | os.PathLike[str] = "figures",
        *,
        formats: Sequence[str] = ("png",),
        only: Sequence[str] = (),
    ) -> list[Path]:
        """Write the dashboard's figures as files; needs a Chrome or Chromium, no network.

        Args:
            formats: png, svg, pdf.
            only: figures by name; none: all.

        Raises:
            StudyError: no such figure or format, no browser, or no study.
        """
        need("plotly", "kaleido")
        from dashboards import images
        from trainables.kept import atomic

        images.check(formats=formats, only=only)
        atomic.check_folder(path(out))
        return images.write(self.frames(), path(out), formats=formats, only=only)

    @redacted()
    def pictures(
        self,
        trials: int | Iterable[int],
        out: str | os.PathLike[str] = "sheet.png",
        *,
        images: int = 4,
        names: Sequence[str] = (),
        split: str = "val",
    ) -> Path:
        """Write a sheet: image, label, teacher, student and difference, for chosen trials of the search.

        Args:
            trials: their numbers.
            images: how many of each trial, evenly spaced in the split.
            names: these images instead, by file name.
            split: train, val or test.

        Raises:
            StudyError, DataError: no such trial, split or image, or its checkpoint is gone: pruned trials have none.
        """
        from explorer.show import pictures as drawing

        numbers = [int(trials)] if isinstance(trials, (int, Integral)) else [int(number) for number in trials]
        drawing.write(self.given, numbers, path(out), num=images, names=names, split=split)
        return path(out)

    @redacted()
    def resume(
        self,
        *,
        time_budget_s: float | None = None,
        stop_when: float | None = None,
        address: str | None = None,
        trust_storage: bool = False,
        mlflow: str | None = None,
        tensorboard: bool | None = None,
        wandb: str | None = None,
        hook: str | None = None,
        console: Console | None = None,
    ) -> Study:
        """Go on with what is open: see `explorer.resume`."""
        console = console or driving.console()
        options = {"console": console, "address": address, "time_budget_s": time_budget_s}
        instead = {"mlflow": mlflow, "tensorboard": tensorboard, "wandb": wandb, "hook": hook, "stop_when": stop_when}
        given = {name: value for name, value in instead.items() if value is not None}

        def run() -> Open:
            place = self._place(address)
            left = driving.launcher(address).resume(place, **options, trust_storage=trust_storage, **given)
            return Open(left, 0 if left else driving.confirmer(address).go_on(place, **options))

        self._left = driving.drive(run, self.given, console, again="resume")
        driving.summarise(self.directory, self._left, console, project=wandb)
        return self

    @redacted()
    def confirm(
        self,
        top: int | None = None,
        seeds: int | None = None,
        *,
        split: str | None = None,
        time_budget_s: float | None = None,
        address: str | None = None,
        console: Console | None = None,
    ) -> Study:
        """Run the finalists and their students alone again on fresh seeds, and say how much was luck.

        Called again with more seeds, it adds those that are missing. Ctrl-C leaves it resumable, as a sweep. Afterwards
        `frame("confirmed")` holds the finalists, and `export` ships the confirmed one.

        Args:
            top: finalists, by mIoU in the search; none: as before, or 5.
            seeds: fresh ones for each; none: as before, or 5.
            split: scored on test or val; none: as before, or test if there is one.
            time_budget_s: stop after this many seconds.
            address: of a Ray cluster: auto, HOST:PORT or ray://HOST:10001; none: start Ray.

        Raises:
            StudyError: no study, or nothing complete in it.
        """
        if split not in (None, "test", "val"):
            raise ConfigError(f"split must be test or val, got {split!r}.")
        for name, value in (("top", top), ("seeds", seeds)):
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be >= 1, got {value}.")
        console = console or driving.console()
        options = {"top": top, "seeds": seeds, "split": split, "time_budget_s": time_budget_s}

        def run() -> Open:
            place, driver = self._place(address), driving.confirmer(address)
            return Open(0, driver.confirm(place, console=console, address=address, **options))

        self._left = driving.drive(run, self.given, console, again="confirm")
        return self

    @redacted()
    def export(
        self,
        out: str | os.PathLike[str] = "best",
        *,
        by: str | None = None,
        trial: int | None = None,
        onnx: bool = True,
        hub: str | os.PathLike[str] | None = None,
        licence: str | None = None,
        size: tuple[int, int] | None = None,
        opset: int | None = None,
        ids: bool = False,
        nhwc: bool = False,
        quantize: bool = True,
        max_loss: float = 1.0,
        qat_steps: int = 0,
    ) -> Bundle:
        """Write a bundle: config, weights, graphs, model card, metrics, all trials, scripts to use and to repeat it.

        Args:
            out: the folder: empty, or an earlier bundle's, which is replaced.
            by: the search's best by miou or gain; none: what was confirmed, else by miou.
            trial: a search trial's number instead.
            onnx: also the network as ONNX and torch.export files; a minute for a small network.
            hub: also this folder, which segmentation-models-pytorch opens and `explorer.push` sends to the hub.
            licence: of the weights, in its card; as the hub names it, such as cc-by-4.0.
            size: height and width of graphs that take one size alone; none: multiples of 32.
            opset: of the ONNX files; none: the exporter's own.
            ids: the ONNX files give class ids instead of logits.
            nhwc: they take [batch, height, width, channels], uint8 where images have 8 bits.
            quantize: also int8 and fp16 ONNX files; each, and the fp32 one, is scored on all of val on this CPU.
            max_loss: points of mIoU from which on int8 or fp16 is left out.
            qat_steps: fine-tune for int8 by so many steps of the trial's own losses; int8 is the better of both.

        Raises:
            ConfigError: `out` holds other files, both `by` and `trial` are given, or graphs that cannot be.
            StudyError: no such trial, its checkpoint is gone, or the data set has changed.
        """
        from explorer.api.bundle import Bundle
        from explorer.bundle import export as exporting
        from explorer.bundle.contents import Graphs

        if by not in (*_RANKED, None):
            raise ConfigError(f"by must be miou or gain, got {by!r}.")
        if qat_steps and not onnx:
            raise ConfigError("qat_steps fine-tunes for int8, and no graphs are asked for. Leave one of the two out.")
        precision: dict[str, Any] = {"quantize": quantize, "max_loss": max_loss, "qat_steps": qat_steps}
        graphs = Graphs(size=size, opset=opset, ids=ids, nhwc=nhwc, **precision)
        which: dict[str, Any] = {"by": by, "trial": trial, "graphs": graphs if onnx else None, "licence": licence}
        exporting.export(self.given, path(out), for_hub=None if hub is None else path(hub), **which)
        return Bundle(path(out))

    def _open(self) -> Open:
        try:
            found = driving.count(self.directory)
        except HeteroakdError:
            found = None
            if self._left is None:
                raise
        if found is None and self._left is None:
            self.spec  # noqa: B018, says that there is no study
        return found or self._left or Open()

    def _place(self, address: str | None) -> Path:
        """The folder as a driver needs it: a cluster's is not looked up here."""
        return self.given if driving.is_remote(address) else self.directory

    def __repr__(self) -> str:
        place = shown.near(self.directory)
        try:
            trials = self.frames(analyse=False).summary["trials"]
            return f"Study({self.spec.name!r} in {place!r}: trials {trials}; {shown.left(self._open())})"
        except HeteroakdError:
            return f"Study({place!r}: no trials can be seen)"

    def _repr_html_(self) -> str:
        try:
            summary = self.frames(analyse=False).summary
            place, left = shown.near(self.directory), shown.left(self._open())
            return shown.table({**summary, "folder": place, "open": left})
        except HeteroakdError as error:
            return shown.paragraph(str(error))


def _same(one: StudyFrames, other: StudyFrames) -> bool:
    """Whether two readings of a storage saw the same trials."""
    import pandas as pd

    pairs = ((getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    return all(a.equals(b) if isinstance(a, pd.DataFrame) else a == b for a, b in pairs)
