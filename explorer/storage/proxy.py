"""Optuna's gRPC proxy: one process holds a study's storage, any number of workers and readers reach it by grpc://.

There is no password on it: whoever reaches the port may read and write the study. So it listens on this machine alone
unless told otherwise; let other machines in through a tunnel or a network of your own.
"""

from __future__ import annotations

import socket
import warnings
from urllib.parse import urlsplit

import optuna
from optuna.storages import BaseStorage, GrpcStorageProxy, run_grpc_proxy_server

from trainables.errors import StudyError
from trainables.extras import need

SCHEME = "grpc://"
_ANSWER_S = 5.0


def connect(address: str) -> BaseStorage:
    """The storage served at `grpc://HOST:PORT`.

    Raises:
        StudyError: no such address, or nobody serves a storage there; within seconds.
    """
    host, port = _endpoint(address)
    need("grpc", "google.protobuf")
    import grpc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = GrpcStorageProxy(host=host, port=port)
    try:
        storage.wait_server_ready(timeout=_ANSWER_S)
        storage.get_all_studies()
    except (ConnectionError, grpc.RpcError):
        storage.close()
        raise StudyError(
            f"No storage answers at {address}. Start one with `heteroakd storage DIR --port {port}`."
        ) from None
    return storage


def run(storage: BaseStorage, *, host: str, port: int) -> None:
    """Serve a storage until the process is stopped.

    Raises:
        StudyError: gRPC cannot listen there.
    """
    need("grpc", "google.protobuf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            run_grpc_proxy_server(storage, host=host, port=port)
        except RuntimeError as error:
            raise StudyError(f"Cannot listen on {host}:{port}: {error}") from None


def _endpoint(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.path.strip("/") or "@" in parts.netloc:
        raise StudyError("A served storage is grpc://HOST:PORT, such as grpc://127.0.0.1:13000, and takes no password.")
    return f"[{host}]" if ":" in host else host, port


def check_free(host: str, port: int) -> None:
    """gRPC would share a port with another server, and clients would reach either.

    Raises:
        StudyError: the port is taken, or the host is not this machine's.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except (OSError, OverflowError) as error:
        raise StudyError(f"Cannot listen on {host}:{port}: {error}. Choose another --port or --host.") from None
