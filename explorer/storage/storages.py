"""Where a study's truth is kept: a journal file, sqlite, a database by URL, or one that another process serves."""

from __future__ import annotations

import os
import re
import sys
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from explorer.redact import redact
from explorer.storage import journal, proxy, urls
from explorer.study import StudySpec
from trainables.errors import Interrupted, MissingExtra, StudyError
from trainables.extras import has, need

JOURNAL, SQLITE = "study.journal", "study.db"  # in the study's folder
_FROM_ENVIRONMENT = "env:"
_TABLES_LOCK = 0x4845544B  # any number that nobody else takes
_CONNECT_S = 5  # to a database that does not answer
_POSTGRES = re.compile(r"^postgres(?:ql)?(?:\+(psycopg2?))?://")


def open_storage(spec: StudySpec, directory: Path) -> BaseStorage:
    """The study's storage.

    `journal` (default) or `sqlite` in the study's folder; a SQLAlchemy URL; `grpc://HOST:PORT`, which `heteroakd
    storage` serves; or `env:NAME`, any of these in an environment variable.

    Raises:
        StudyError: it cannot be opened; within seconds, and without its password.
    """
    name = locate(spec)
    if name == "journal":
        return _journal(directory / JOURNAL)
    if name.startswith(proxy.SCHEME):
        return proxy.connect(name)
    url = urls.sqlite((directory / SQLITE).absolute()) if name == "sqlite" else name
    database = _database(url)
    weakref.finalize(database, database.engine.dispose)  # Optuna leaves its connections to the garbage collector
    return optuna.storages.get_storage(database)


def _journal(path: Path) -> JournalStorage:
    try:
        return JournalStorage(journal.Journal(path))
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:  # Optuna replays it on trust
        raise StudyError(f"{path} is no journal of a study: {type(error).__name__} {error}".rstrip()) from None


def locate(spec: StudySpec) -> str:
    """`journal`, `sqlite` or a URL, looked up in the environment where the spec says so.

    Raises:
        StudyError: the variable is not set.
    """
    name = spec.storage or "journal"
    if not name.startswith(_FROM_ENVIRONMENT):
        return name
    variable = name.removeprefix(_FROM_ENVIRONMENT)
    if not os.environ.get(variable):
        raise StudyError(f"The storage is {name!r}, but {variable} is not set here. Set it to the storage's URL.")
    return os.environ[variable]


def exists(spec: StudySpec, directory: Path) -> bool:
    """Whether the study's file is there; a storage elsewhere is asked when it is opened."""
    file = {"journal": JOURNAL, "sqlite": SQLITE}.get(locate(spec))
    return file is None or (directory / file).exists()


@contextmanager
def owned(spec: StudySpec, directory: Path) -> Iterator[None]:
    """Hold a journal for the time of a driver or a server, mended of what a killed one left. Databases mend themselves.

    Raises:
        StudyError: another process has it, or it is damaged.
    """
    if locate(spec) != "journal":
        yield
        return
    path = directory / JOURNAL
    with journal.sole_owner(path):
        if path.exists():
            journal.unlock(path)
            journal.repair(path)
        yield


def one_sync(storage: BaseStorage) -> AbstractContextManager[None]:
    """Inside, a journal's lines go to the disk together: a suggestion writes twenty, an fsync takes up to 5 ms."""
    backend = getattr(storage, "_backend", None)
    return backend.one_sync() if isinstance(backend, journal.Journal) else nullcontext()


def failures() -> tuple[type[Exception], ...]:
    """What a storage raises when it is out of reach or full, not when it is misused."""
    grpc = sys.modules.get("grpc")
    known = (OSError, SQLAlchemyError, optuna.exceptions.StorageInternalError)
    return (*known, grpc.RpcError) if grpc else known


@contextmanager
def in_words() -> Iterator[None]:
    """A storage lost outside of the bridge is one sentence too.

    Raises:
        Interrupted: what was written until then can be resumed.
    """
    try:
        yield
    except failures() as error:
        if isinstance(error, OSError):
            raise
        raise Interrupted(lost(error)) from None


def lost(error: Exception) -> str:
    """The sentence for one of `failures`."""
    reason = redact(" ".join(str(error).split()))[:300]
    return f"The study's storage fails: {reason}. Mend that, then `heteroakd resume`."


def reach(spec: StudySpec) -> None:
    """Open a storage that is elsewhere once, before anything long is begun.

    Raises:
        StudyError: see `open_storage`.
    """
    if locate(spec) not in ("journal", "sqlite"):
        open_storage(spec, Path())


def _database(url: str) -> RDBStorage:
    try:
        return _postgres(url) if _POSTGRES.match(url) else RDBStorage(url)
    except ArgumentError:
        raise StudyError(
            f"No storage {redact(url)!r}. Choose journal, sqlite, a database URL such as "
            "postgresql://USER@HOST/DATABASE, grpc://HOST:PORT, or env:NAME."
        ) from None
    except MissingExtra:
        raise
    except (ImportError, ValueError, RuntimeError, SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise StudyError(f"The storage {redact(url)!r} cannot be opened: {_reason(error)}") from None


def _postgres(url: str) -> RDBStorage:
    """Creates the tables under an advisory lock: Optuna's own way fails where two processes do so at once."""
    url = _POSTGRES.sub(lambda found: f"postgresql+{found[1] or _postgres_driver()}://", url)
    limit = {} if "connect_timeout=" in url else {"connect_args": {"connect_timeout": _CONNECT_S}}
    gate = create_engine(url, poolclass=NullPool, **limit)
    with gate.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _TABLES_LOCK})  # held until disconnected
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True, **limit})  # the server may restart in between


def _postgres_driver() -> str:
    """psycopg 3, or 2 where that alone is installed.

    Raises:
        MissingExtra: neither is.
    """
    if not has("psycopg") and has("psycopg2"):
        return "psycopg2"
    need("psycopg")
    return "psycopg"


def _reason(error: Exception) -> str:
    """One line of what a driver says, which may quote the URL."""
    if isinstance(error, ImportError):
        return "its driver is not installed."
    lines = redact(str(getattr(error, "orig", None) or error)).strip().splitlines()
    said = lines[0] if lines else type(error).__name__
    return f"{said.rstrip('.')}. Check the URL and that the server runs."
