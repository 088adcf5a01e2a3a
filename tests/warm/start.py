"""Python processes of a Ray that start warm: forked from one that has imported what they need.

A worker of Ray imports PyTorch, Ray and this product before its first step: 8 s of a CPU, a hundred times in these
tests, and five more processes of every Ray likewise. Here they fork from a server instead; what they do is the same.
Where Ray ships the product's code, it is imported from there. pytest-xdist's processes start so, too, and import the
product anew. What the server cannot know (Ray's agents, a command in a runtime environment) starts cold, and so does
all of `make demo`.

`sitecustomize.py` tells every Python process of the tests, Ray's drivers above all, to start Ray's processes by
`client.py`; that asks `server.py`, which imports at the first request and ends with pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CLIENT = "WARM_PYTHON"
"""Names the executable that stands for Python, in the environment."""


def start(config: pytest.Config) -> None:
    """Until this pytest ends, its descendants' Rays start warm."""
    place = tempfile.TemporaryDirectory(prefix="warm-")
    client, address = Path(place.name, "python"), Path(place.name, "server")
    client.write_text(
        f"#!{os.path.realpath(sys.executable)} -IS\nREAL, ADDRESS = {sys.executable!r}, {str(address)!r}\n"
        + (HERE / "client.py").read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    client.chmod(0o755)
    os.environ[CLIENT] = str(client)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    os.environ["RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S"] = "180"  # Ray gives a client's server 30 s to start
    os.environ["RAY_prestart_worker_first_driver"] = "0"  # noqa: SIM112 - Ray's name; a needed one is there at once
    os.environ["REPORTER_UPDATE_INTERVAL_MS"] = "3600000"  # Ray watches its processes each 5 s, for no test
    environment = {"OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}  # a fork has one thread
    server = subprocess.Popen(
        [sys.executable, HERE / "server.py", address],
        stdin=subprocess.PIPE,
        start_new_session=True,  # so that no Ctrl-C of a test's process group reaches it
        env=os.environ | environment,
    )

    if config.getoption("tx", None):  # pytest-xdist's processes, which conftest.py has forget our modules
        config.option.tx = [f"{spec}//python={client}" for spec in config.option.tx]

    def stop() -> None:
        assert server.stdin is not None
        server.stdin.close()
        server.wait()
        place.cleanup()

    config.add_cleanup(stop)
