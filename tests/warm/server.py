"""Forks the processes that `client.py` asks for, warm: `server.py ADDRESS`, until its standard input is closed."""

from __future__ import annotations

import atexit
import fcntl
import gc
import json
import os
import runpy
import select
import shlex
import signal
import socket
import sys
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

PRELOADED = (
    *("trainables.torchvision_cure", "trainables.group", "trainables.run", "trainables.teachers", "torch._dynamo"),
    *("pandas", "pyarrow.fs", "pyarrow.parquet", "sqlalchemy", "optuna", "explorer.study", "scipy.stats", "plotly"),
    *("aiohttp", "grpc", "jsonschema", "requests", "tensorboardX", "opentelemetry.sdk.metrics"),
)
"""All but Ray, which reads the environment when it is imported."""
FORGOTTEN: list[ModuleType] = []  # kept: one of them holds operators that torchvision needs
OURS, ROOT = ("trainables", "explorer", "search_spaces", "dashboards"), Path(__file__).parents[2]
AGENTS = (
    Path("dashboard", "agent.py"),
    Path("_private", "runtime_env", "agent", "main.py"),
)
"""Ray's processes that must be the raylet's children."""
SETUP, WORKER = "setup_worker.py", "default_worker.py"
MODULE = ["-m", "ray.util.client.server"]
USUAL = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
"""What a Python does at a signal; whoever started the server may ignore some."""
CONTEXT = "--serialized-runtime-env-context="


def serve(listener: socket.socket) -> dict[str, Any] | None:
    """Returns once in each forked process, with its order; at last, in the server, with nothing."""
    ready = False
    while True:
        readable, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in readable:
            return None
        caller, _ = listener.accept()
        if not ready:
            preload()
            ready = True
        standard: list[int] = []
        try:
            order = json.loads(_read(caller, int.from_bytes(_read(caller, 4), "big")))
            _, standard, _, _ = socket.recv_fds(caller, 1, 3)
            order |= {"command": warm(order), "standard": standard, "caller": caller}
            if order["command"] is None:
                caller.sendall(bytes(4))
            elif (child := os.fork()) == 0:
                return order
            else:
                caller.sendall(child.to_bytes(4, "big"))
        except OSError:  # it was killed in the middle of its request
            pass
        caller.close()
        for number in standard:
            os.close(number)


def preload() -> None:
    sys.modules["wandb"] = None  # type: ignore[assignment] # each fork that ends would remove its folder from all others
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in PRELOADED:
            import_module(module)
    del sys.modules["wandb"]
    assert "ray" not in sys.modules
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "The server has threads, which no fork would have."
    gc.collect()
    gc.freeze()


def warm(order: dict[str, Any]) -> list[str] | None:
    """`-c CODE`, a script or MODULE, with arguments, as a fork can run it; None: only a process of its own can."""
    environment, arguments = order["environment"], [one for one in order["arguments"] if one != "-u"]
    if not arguments:
        return None
    ray = find_spec("ray")
    assert ray is not None
    assert ray.origin is not None
    if arguments[0] in {str(Path(ray.origin).parent / agent) for agent in AGENTS}:
        return None
    if Path(arguments[0]).name != SETUP:
        return arguments if arguments[0] == "-c" or not arguments[0].startswith("-") else None
    places = range(len(arguments))
    script = next((at for at in places if Path(arguments[at]).name == WORKER or arguments[at : at + 2] == MODULE), None)
    if script is None:
        return None
    for given in arguments:
        if given.startswith(CONTEXT):
            context = json.loads(given.removeprefix(CONTEXT) or "{}")
            match context.get("command_prefix"):
                case [] | None:
                    pass
                case ["cd", folder, "&&"]:
                    order["folder"] = "".join(shlex.split(folder))
                case _:
                    return None
            environment |= context.get("env_vars", {})
    return [one for one in arguments[script:] if not one.startswith((CONTEXT, "--language="))]


def run(order: dict[str, Any]) -> None:
    """Be the process that was ordered."""
    os.setpgrp()  # Ray ends the group of a worker with it
    for number, descriptor in enumerate(order["standard"]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    # When the caller is killed, the kernel's SIGIO about the closed connection ends this process.
    fcntl.fcntl(order["caller"], fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(order["caller"], fcntl.F_SETFL, fcntl.fcntl(order["caller"], fcntl.F_GETFL) | os.O_ASYNC)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, usual in USUAL.items():
        signal.signal(number, signal.SIG_IGN if number in order["ignored"] else usual)
    os.setpriority(os.PRIO_PROCESS, 0, order["nice"])
    os.chdir(order["folder"])
    places = [place for place in order["environment"].get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:0] = places
    if any(Path(place, OURS[0]).is_dir() and not ROOT.samefile(place) for place in places):
        forget()
    os.environ.clear()
    os.environ.update(order["environment"])
    status = [1]
    atexit.register(lambda: order["caller"].send(bytes(status)))  # the last thing, as it is the first here
    try:
        _execute(*order["command"])
        status = [0]
    except SystemExit as end:
        status = [end.code if isinstance(end.code, int) else int(end.code is not None)]
        raise


def forget() -> None:
    """Product code that Ray has shipped is imported from where it was unpacked; all else is warm."""
    FORGOTTEN.extend(sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] in OURS)


def _execute(script: str, *arguments: str) -> None:
    if script == "-m":
        sys.argv = [*arguments]
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        return
    if script != "-c":
        sys.argv = [script, *arguments]
        sys.path.insert(0, str(Path(script).parent))
        runpy.run_path(script, run_name="__main__")
        return
    sys.argv = ["-c", *arguments[1:]]
    sys.path.insert(0, "")
    main = sys.modules["__main__"] = ModuleType("__main__")
    exec(arguments[0], vars(main))


def _read(caller: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = caller.recv(size - len(data))
        if not piece:
            raise ConnectionResetError
        data += piece
    return data


if __name__ == "__main__":
    sys.path.pop(0)  # this folder
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who has ended needs no wait
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as place:
        place.bind(sys.argv[1])
        place.listen(64)
        task = serve(place)
    if task is not None:
        run(task)
