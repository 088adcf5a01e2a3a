"""Ray for the time of a sweep: the one this process is in, one started here and stopped again, or a cluster's.

A Ray started here listens on loopback alone and asks for a token that only its processes hold. How a sweep gets to a
cluster: `auto` and HOST:PORT join it (here); ray:// runs the whole sweep there (`remote.py`); http:// hands it over as
a job (`submit.py`).
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._common.utils import get_default_system_temp_dir
from ray._private import ray_constants
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]
from ray.exceptions import AuthenticationError

from trainables.errors import HeteroakdError, StudyError

_SESSION = "session_2000-01-01_00-00-00_000000_4194304"  # as Ray names its own, with the largest process id
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Ray for the time of a sweep.

    Args:
        address: `auto`, HOST:PORT, or none for a Ray of one's own. Where this process is connected already, that stays.

    Raises:
        StudyError: nothing answers at the address, or it wants another token.
    """
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    if ray.is_initialized():
        yield
        return
    with _local() if address is None else _joined(address):
        yield


@contextmanager
def _local() -> Iterator[None]:
    """A Ray that nobody else can reach: loopback alone, whatever the machine's addresses, and a token of its own.

    Raises:
        StudyError: see `check_sockets`.
    """
    check_sockets()
    with _loopback(), _own_token():
        ray.init(address="local", include_dashboard=False, **QUIET)
        try:
            yield
        finally:
            ray.shutdown()


def check_sockets() -> None:
    """Ray keeps sockets in the folder for temporary files, whose paths the system limits to a hundred bytes or so.

    Raises:
        StudyError: that folder's own path is too long.
    """
    root = get_default_system_temp_dir()
    longest = Path(root) / "ray" / _SESSION / "sockets" / "plasma_store.9"
    most = 103 if sys.platform == "darwin" else 107
    if sys.platform == "win32" or (over := len(os.fsencode(longest)) - most) <= 0:
        return
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name) == root), "TMPDIR")
    raise StudyError(
        f"{name} is {root}, {over} bytes too long for the sockets that Ray keeps below it. Set RAY_TMPDIR to a shorter "
        "folder, such as /tmp."
    )


@contextmanager
def _joined(address: str) -> Iterator[None]:
    if "://" in address:
        raise StudyError(f"Ray cannot be joined at {address!r}. Give auto, HOST:PORT or ray://HOST:PORT.")
    present_token()
    with refused_in_words(address):
        if address != "auto":
            knock(address)
        ray.init(address=address, **QUIET)
    try:
        yield
    finally:
        ray.shutdown()


def knock(address: str) -> None:
    """See at once whether anything listens at HOST:PORT; Ray itself would try for minutes.

    Raises:
        OSError, ValueError: nothing does, or this is no address.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@contextmanager
def refused_in_words(address: str) -> Iterator[None]:
    """A connection that fails is one sentence."""
    try:
        yield
    except AuthenticationError:
        raise StudyError(
            f"The Ray cluster at {address!r} refused this token. Put the cluster's own into RAY_AUTH_TOKEN, or its "
            "file into RAY_AUTH_TOKEN_PATH, and set RAY_AUTH_MODE=token."
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, HeteroakdError):
            raise
        raise StudyError(
            f"No Ray cluster lets us in at {address!r} ({_first_line(error)}). Check that it runs, its address and "
            "port, and that RAY_AUTH_TOKEN holds its token."
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")


def present_token() -> None:
    """Show a cluster the token that this machine holds, if it holds one and nobody said otherwise."""
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


@contextmanager
def _loopback() -> Iterator[None]:
    """Make Ray take 127.0.0.1 for this node's address, as it does by default on macOS and Windows.

    `_node_ip_address="127.0.0.1"` would not do: Ray replaces it by the address that others see, and listens on all.
    """
    name = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False  # this process has read the variable already
    with _environment({name: "0"}):
        try:
            yield
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _own_token() -> Iterator[None]:
    """A token of this Ray's own, unless the user has chosen: the file in which Ray would keep one is world-readable."""
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        yield
        return
    loader = AuthenticationTokenLoader.instance()
    with _environment({"RAY_AUTH_TOKEN": secrets.token_hex(32)}):
        loader.reset_cache()
        yield
    loader.reset_cache()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
