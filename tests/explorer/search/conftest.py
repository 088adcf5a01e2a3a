"""Time that passes by sleeping only, for what waits on Ray's news of a death."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from ways import Clock


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)
