"""A sweep as a Ray job: the cluster runs it, whether or not this machine stays."""

from __future__ import annotations

import asyncio
import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from explorer.launch import travel
from explorer.launch.cluster import present_token, refused_in_words
from explorer.launch.sweep import check
from explorer.redact import redact
from explorer.study import StudySpec
from trainables.errors import StudyError
from trainables.extras import need
from trainables.yamls import load_yaml

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

HETEROAKD = 'python -c "from explorer.cli.app import main; main()"'  # the cluster has our packages, not our command
SPEC = "spec.yaml"


def submit(
    spec: StudySpec,
    directory: Path,
    *,
    address: str,
    console: Console,
    runtime_env: Path | None = None,
    resume: bool = False,
    follow: bool = False,
    trust_storage: bool = False,
    force: bool = False,
) -> int:
    """Hand a sweep to a cluster's job server.

    Args:
        directory: the study's folder, absolute, on storage that all nodes see.
        address: of the dashboard, http:// or https://.
        runtime_env: a YAML file with more of Ray's `runtime_env`, such as `pip` or `env_vars`.
        resume: go on with the study in the folder.
        follow: show the job's log until it ends.
        force: as for `sweep.sweep`.

    Returns:
        The job's exit code if followed, otherwise 0.

    Raises:
        HeteroakdError: a spec, path or runtime environment that cannot work; no cluster, or another token.
    """
    check(spec)
    folder = PurePosixPath(directory)
    travel.check(spec, folder)
    merged = merge(travel.environment(folder, travel.own_code(spec)), load_yaml(runtime_env) if runtime_env else {})
    client = _client(address)
    with tempfile.TemporaryDirectory() as shipped:
        (Path(shipped) / SPEC).write_text(
            yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False), encoding="utf-8"
        )
        command = entrypoint(folder, resume=resume, trust_storage=trust_storage, force=force)
        try:
            job = client.submit_job(entrypoint=command, runtime_env={**merged, "working_dir": shipped})
        except (RuntimeError, ValueError) as error:
            raise StudyError(f"The cluster did not take the job: {error}") from None
    console.print(f"job: {job}", highlight=False)
    again = f"ray job logs {job} --address {shlex.quote(redact(address))} --follow"
    console.print(f"follow it with: {again}", highlight=False, soft_wrap=True)
    return _follow(client, job, console) if follow else 0


def entrypoint(directory: PurePosixPath, *, resume: bool, trust_storage: bool = False, force: bool = False) -> str:
    """The job's shell command."""
    folder = shlex.quote(str(directory))
    verb = f"resume {folder}" if resume else f"sweep {SPEC} --out {folder}{' --force' if force else ''}"
    return f"{HETEROAKD} {verb} --address auto{' --trust-storage' if trust_storage else ''}"


def merge(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Our runtime environment with the user's on top.

    Raises:
        StudyError: it wants the working folder, which holds the spec.
    """
    if "working_dir" in theirs:
        raise StudyError("A runtime environment's working_dir is where the spec goes. Ship code by py_modules instead.")
    return {
        **ours,
        **theirs,
        "py_modules": [*ours["py_modules"], *(theirs.get("py_modules") or [])],
        "env_vars": {**ours["env_vars"], **(theirs.get("env_vars") or {})},
    }


def _client(address: str) -> JobSubmissionClient:
    if not address.startswith(("http://", "https://")):
        raise StudyError(f"--address must be the dashboard's, such as http://HOST:8265, got {address!r}.")
    need("aiohttp")
    from ray.job_submission import JobSubmissionClient

    present_token()
    with _no_other_address(), refused_in_words(address):
        return JobSubmissionClient(address)


@contextmanager
def _no_other_address() -> Iterator[None]:
    """Ray lets these variables override the address that it is given."""
    aside = {name: os.environ.pop(name) for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(aside)


def _follow(client: JobSubmissionClient, job: str, console: Console) -> int:
    async def show() -> None:
        async for text in client.tail_job_logs(job):
            console.out(text, end="", highlight=False)

    try:
        asyncio.run(show())
    except KeyboardInterrupt:
        console.print(f"The job goes on without you. To stop it: ray job stop {job}", highlight=False)
        return 130
    details = client.get_job_info(job)
    code = details.driver_exit_code
    return int(code) if code is not None else int(str(details.status) != "SUCCEEDED")
