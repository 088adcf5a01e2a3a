"""A PostgreSQL server for the time of a test or a benchmark: on loopback, with a password, its data thrown away."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGED = Path("/usr/lib/postgresql")  # Debian keeps initdb and postgres off the PATH
USER = "heteroakd"


@dataclass(frozen=True)
class Server:
    port: int
    password: str

    def url(self, database: str = "postgres", *, driver: str = "postgresql") -> str:
        return f"{driver}://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """A new, empty database's URL."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')  # type: ignore[call-overload]
        return self.url(database)


def binaries() -> Path | None:
    """The folder of initdb and postgres; None where PostgreSQL's server is not installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(PACKAGED.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return versions[-1].parent if versions else None


@contextmanager
def server(*, durable: bool) -> Iterator[Server]:
    """Run one; PostgreSQL refuses root, so as root it runs as the package's user.

    Args:
        durable: whether a commit waits for the disk, as it does by default.
    """
    folder = binaries()
    assert folder is not None, "no PostgreSQL server is installed"
    user = "postgres" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pg-") as home:
        if user:
            os.chown(home, pwd.getpwnam(user).pw_uid, -1)
        made = Server(_free_port(), secrets.token_hex(16))
        secret = Path(home) / "password"
        secret.write_text(made.password, encoding="utf-8")
        secret.chmod(0o644)
        data = f"{home}/data"
        initialise = [folder / "initdb", "-D", data, "-U", USER, "-A", "scram-sha-256", "--pwfile", secret, "-N"]
        subprocess.run(initialise, user=user, cwd=home, check=True, capture_output=True)
        options = ["-p", str(made.port), "-c", "listen_addresses=127.0.0.1", "-k", home]
        options += [] if durable else ["-c", "fsync=off", "-c", "synchronous_commit=off"]
        with (Path(home) / "log").open("wb") as log:
            process = subprocess.Popen(
                [folder / "postgres", "-D", data, *options], user=user, cwd=home, stdout=log, stderr=log
            )
        try:
            _await(made, process, Path(home) / "log")
            yield made
        finally:
            process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            process.wait(30)


def _await(made: Server, process: subprocess.Popen, log: Path) -> None:
    import psycopg

    until = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(made.url(), connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text(encoding='utf-8')}") from None
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
