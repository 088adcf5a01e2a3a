"""The verbs that need no study: train one trial, serve a storage, serve live pages."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from explorer.api.given import path, trial_config
from explorer.api.redacted import redacted
from trainables.extras import need

if TYPE_CHECKING:
    from trainables.config import TrialConfig
    from trainables.state import Report


@dataclass(frozen=True)
class Training:
    """A trial that was trained by itself.

    Attributes:
        directory: its checkpoint and log.json lines.
        last: the last evaluation: step, miou, its interval over images (miou_low, miou_high), iou by class, terms of
            the loss, seconds; fold_miou where there are folds.
    """

    config: TrialConfig
    directory: Path
    last: Report

    @property
    def miou(self) -> float:
        """In [0, 1], on the validation split."""
        return self.last.miou


def train(
    config: str | PurePath | Mapping[str, Any] | TrialConfig,
    out: str | os.PathLike[str] | None = None,
    *,
    say: Callable[[str], None] = print,
) -> Training:
    """Train one trial without Ray; on again from its last checkpoint if the folder has one.

    Args:
        config: a YAML file such as an exported best.yaml, a mapping of fields, or a TrialConfig.
        out: folder of checkpoints and log; none: trial-DIGEST.
        say: told what to know of the data first, then each evaluation, as lines of text.

    Raises:
        HeteroakdError: wrong fields, data, networks or checkpoint, a loss that is not finite, or a full disk.
    """
    from trainables.run import run

    parsed = trial_config(config)
    directory = Path(f"trial-{parsed.digest()}") if out is None else path(out)
    return Training(parsed, directory, run(parsed, directory=directory, say=say))


@redacted()
def serve_storage(
    directory: str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 13000,
    say: Callable[[str], None] = print,
) -> None:
    """Serve a study's storage to many workers and readers, who name it grpc://HOST:PORT, until the process is stopped.

    Args:
        host: where to listen. Nothing asks who calls, so keep it to this machine.

    Raises:
        StudyError: another process has the journal, or the address cannot be listened on.
    """
    from explorer.storage import serve

    serve.serve(path(directory), host=host, port=port, say=say)


@redacted()
def serve_dashboard(
    *directories: str | os.PathLike[str],
    host: str = "127.0.0.1",
    port: int = 8050,
    own_code: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Serve pages that follow studies while they run, until Ctrl-C.

    Args:
        host: the address to listen on; whoever reaches it can read the studies.
        port: 0: any free one.
        own_code: run code that a study names, to show its predictions.

    Raises:
        StudyError: a folder holds no study, or the address cannot be listened on.
    """
    need("dash", "plotly")
    from explorer.show import live

    live.serve([path(directory) for directory in directories], host=host, port=port, own_code=own_code, say=say)
