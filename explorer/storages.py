"""Where a study's truth is kept: a journal file, sqlite, a database by URL."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import SQLAlchemyError

from explorer.study import StudySpec
from trainables.errors import StudyError


def open_storage(spec: StudySpec, directory: Path) -> BaseStorage:
    """The study's storage: `journal` (default) or `sqlite` in its folder, or a database URL.

    Raises:
        StudyError: the URL cannot be opened.
    """
    name = spec.storage or "journal"
    if name == "journal":
        return JournalStorage(JournalFileBackend(str(directory / "study.journal")))
    url = f"sqlite:///{directory / 'study.db'}" if name == "sqlite" else name
    try:
        return optuna.storages.get_storage(RDBStorage(url))
    except (ImportError, ValueError, SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        scheme = name.partition(":")[0]  # never the URL itself: it may hold a password
        raise StudyError(
            f"The {scheme!r} storage cannot be opened ({type(error).__name__}). Check the URL and driver."
        ) from None
