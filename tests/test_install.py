"""install.py: uv is told what pip is told, and pip does it where uv cannot."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAID = """:env:.find-links='/opt/more'
global.cert='/etc/ca.pem'
global.extra-index-url='https://a.example/simple\\nfile:///b/simple'
global.find-links='/opt/wheels'
global.index-url='https://user:it%27s@host.example/simple'
install.constraint='pins.txt'
freeze.timeout='10'
"""


@pytest.fixture
def run(monkeypatch):
    """Runs `main`; what it started and in which environment. Commands that `fails` takes end with 1."""

    def go(fails):
        module, started = runpy.run_path(str(ROOT / "install.py")), []

        def noted(command, env=None, **_):
            command = [str(word) for word in command]
            if command[-2:] == ["config", "list"]:
                return subprocess.CompletedProcess(command, 0, stdout=SAID)
            started.append((command, env))
            return subprocess.CompletedProcess(command, int(fails(command)))

        monkeypatch.setattr(subprocess, "run", noted)
        return module["main"](".[all]"), started

    return go


def test_uv_has_pips_settings_of_which_the_nearest_holds(run):
    status, started = run(lambda command: False)
    assert status == 0
    (_, (command, environment)) = started
    assert Path(command[0]).name == "uv"
    assert command[-2:] == ["--editable", ".[all]"]
    wanted = {
        "UV_DEFAULT_INDEX": "https://user:it%27s@host.example/simple",
        "UV_INDEX": "https://a.example/simple file:///b/simple",
        "UV_FIND_LINKS": "/opt/more",
        "UV_CONSTRAINT": "pins.txt",
        "SSL_CERT_FILE": "/etc/ca.pem",
    }
    assert wanted.items() <= environment.items()
    assert "UV_NO_INDEX" not in environment


@pytest.mark.parametrize("missing", [True, False])
def test_where_uv_cannot_pip_does_it(run, missing):
    """Because it is not to be had, or because it fails."""
    status, started = run(lambda command: command[-1] == "uv" if missing else command[0].endswith("uv"))
    assert status == 0
    last = started[-1][0]
    assert last[1:4] == ["-m", "pip", "install"]
    assert last[-2:] == ["--editable", ".[all]"]
    assert len(started) == (2 if missing else 3)


def test_when_both_fail_so_does_it(run):
    assert run(lambda command: command[-1] != "uv")[0] == 1
