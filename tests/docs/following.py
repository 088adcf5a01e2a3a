"""Pages as a reader follows them: their shell blocks, the commands in these, and the verbs they name in passing."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from explorer.cli.app import app

ROOT = Path(__file__).parents[2]
TINY_PAIR = "fpn:tu-test_resnet>segformer:tu-test_efficientnet"  # timm's networks for tests
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[str]:
    """What stands between ```sh and ```."""
    return re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[list[str]]:
    """Words of each command, a line (continued by a backslash) each; no substitutions, no pipes."""
    lines = block.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def named(page: Path) -> list[str]:
    """What follows `heteroakd` in code: between backticks, or at the start of a line between fences."""
    text = page.read_text()
    fences = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for fence in fences for line in fence.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"`heteroakd\s+([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    started = [line.removeprefix("heteroakd ").partition(" #")[0] for line in lines if line.startswith("heteroakd ")]
    return [*spans, *started]


def unknown(text: str) -> Iterator[str]:
    """Verbs and options after `heteroakd` that the command does not have; words in capitals stand for any."""
    verb, *rest = text.split()
    if verb.isupper():
        return
    command: Any = vars(get_command(app))["commands"].get(verb)
    if rest and (group := getattr(command, "commands", None)):
        command = group.get(rest[0])
    if command is None:
        yield text
        return
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)} | {"--help"}
    yield from (option for option in re.findall(r"(?<!\S)--[\w-]+", text) if option not in known)


def heteroakd(words: list[str]) -> str:
    """What the command prints, run in this process."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        code = app(words, standalone_mode=False)
    assert not code, output.getvalue()
    return output.getvalue()


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """A Ray of this process, which sweeps join; the session's own, of tests that this process has done with, ends."""
    import ray

    ray.shutdown()
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        ray.shutdown()
