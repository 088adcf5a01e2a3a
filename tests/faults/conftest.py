"""Optuna says nothing of the studies that are made here."""

from __future__ import annotations

import optuna
import pytest


@pytest.fixture(scope="module", autouse=True)
def quiet_optuna():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)
