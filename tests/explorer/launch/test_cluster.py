"""Ray as it is reached: a local one that nobody else can speak to, and a real cluster of three nodes with a token."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest
import yaml
from rich.console import Console

from explorer.launch import remote
from explorer.launch.cluster import connected
from explorer.results.trials import load_studies
from explorer.search.arms import open_arms
from explorer.study import StudySpec
from trainables.errors import StudyError

HERE = Path(__file__).parent
HETEROAKD = [os.environ["WARM_PYTHON"], "-c", "from explorer.cli.app import main; main()"]
TOKEN = "c" * 40
FAST_DEATH = {  # a lost node is noticed in seconds
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}


@dataclass
class Cluster:
    gcs: str
    dashboard: str
    client: str
    workers: dict[str, int]
    temp: Path
    environment: dict[str, str]

    def run(self, *command, timeout=300, **environment):
        """A process that holds the token, or what it is given instead; stdout and stderr together."""
        return subprocess.run(
            [*map(str, command)],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )


def clean_environment(home):
    """No token, no address and no Ray setting of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**kept, "HOME": str(home), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, free_ports):
    """Ended by its own shutdown, never by `ray stop`, which would end everybody's."""
    temp = Path(tempfile.mkdtemp(prefix="ha-", dir="/tmp"))  # Ray's sockets need a short path
    ports = free_ports(3)
    (temp / "bin").mkdir()
    (temp / "bin/python").symlink_to(os.environ["WARM_PYTHON"])
    environment = {
        **clean_environment(tmp_path_factory.mktemp("home")),
        "PATH": f"{temp / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # take 127.0.0.1 for the nodes' address
        "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "150",  # the head shares two cores with everything else
    }
    with (temp / "log").open("w") as log:
        host = subprocess.Popen(
            [os.environ["WARM_PYTHON"], HERE / "ray_cluster.py", temp, *map(str, ports)],
            env={**environment, **FAST_DEATH},
            cwd=temp,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    first = host.stdout.readline()
    try:
        assert first, (temp / "log").read_text()
        gcs, dashboard, client = (f"127.0.0.1:{port}" for port in ports)
        yield Cluster(gcs, f"http://{dashboard}", f"ray://{client}", json.loads(first), temp, environment)
    finally:
        host.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            host.wait(timeout=60)
        with suppress(ProcessLookupError):
            os.killpg(host.pid, signal.SIGKILL)
        host.wait()
        host.stdout.close()
        shutil.rmtree(temp, ignore_errors=True)


def descendants(pid):
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def end(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


LOCAL = """
import os, psutil, ray
from explorer.launch.cluster import connected

for _ in range(2):  # the second one has another token
    with connected(None):
        assert ray.get(ray.remote(lambda: 1).remote()) == 1
        me = psutil.Process()
        family = [me, *me.children(recursive=True)]
        for process in family:
            for found in process.net_connections("inet"):
                if found.status == psutil.CONN_LISTEN:
                    print("listens", found.laddr.ip)
        print("token", os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"])
print("after", os.environ.get("RAY_AUTH_TOKEN"))
"""


def test_a_local_ray_listens_on_loopback_alone_and_asks_for_a_token_of_its_own(tmp_path):
    """Also that the token is in no file, where other users of the machine could read it."""
    said = subprocess.run(
        [os.environ["WARM_PYTHON"], "-c", LOCAL],
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert said.returncode == 0, said.stderr
    lines = [line.split() for line in said.stdout.splitlines()]
    addresses = Counter(line[1] for line in lines if line[0] == "listens")
    assert sum(addresses.values()) >= 2 * 5  # GCS, raylet, agents, workers
    assert set(addresses) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    tokens = {line[2] for line in lines if line[0] == "token"}
    assert len(tokens) == 2
    assert all(len(token) == 64 for token in tokens)
    assert {line[1] for line in lines if line[0] == "token"} == {"token"}
    assert lines[-1] == ["after", "None"]
    assert not (tmp_path / ".ray").exists()


@pytest.fixture(scope="module")
def survived(cluster, tmp_path_factory):
    """(folder, node of each step run, the node that was killed) of a sweep that lost a node while all three worked."""
    folder = tmp_path_factory.mktemp("spread")
    command = [os.environ["WARM_PYTHON"], HERE / "cluster_driver.py", folder, cluster.gcs]
    with (folder / "log").open("w") as log:
        driver = subprocess.Popen(command, env=cluster.environment, stdout=log, stderr=subprocess.STDOUT)
    victim = next(iter(cluster.workers))
    wait_for(lambda: ran(folder)[victim] >= 4 and len(ran(folder)) == 3, driver, folder / "log")
    for pid in (cluster.workers[victim], *descendants(cluster.workers[victim])):  # else the node's agents live on
        end(pid)
    assert driver.wait(timeout=240) == 0, (folder / "log").read_text()
    return folder, ran(folder), victim


def ran(folder):
    """Steps by node."""
    path = folder / "ran.txt"
    return Counter(line.split()[2] for line in path.read_text().splitlines()) if path.exists() else Counter()


def wait_for(condition, process, log):
    deadline = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def test_trials_spread_over_the_nodes(survived, cluster):
    _, steps, _ = survived
    assert len(steps) == 3
    assert set(cluster.workers) < set(steps)


def test_a_lost_node_costs_no_trial_and_no_failure(survived):
    """max_failures is 0: a trial that was on the node goes on elsewhere, as if nothing had happened."""
    folder, _, _ = survived
    arms = open_arms(StudySpec.parse(driver_spec()), folder, data_digest="d")
    for role, count in (("baseline", 1), ("search", 15)):
        trials = arms[role].study.get_trials()
        assert [trial.state.name for trial in trials] == ["COMPLETE"] * count
        for trial in trials:
            weight = trial.user_attrs["config"]["lambda_kd"]
            expected = {step: 0.05 * step / (1 + weight) for step in range(1, 10)}
            assert trial.intermediate_values == pytest.approx(expected)
    assert "0 open" in (folder / "log").read_text()


def driver_spec():
    return runpy.run_path(str(HERE / "cluster_driver.py"))["SPEC"]


@pytest.mark.parametrize("token", [None, "d" * 40])
def test_a_call_without_the_clusters_token_is_refused(cluster, token):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for path, body in (("/api/jobs/", None), ("/api/jobs/", b'{"entrypoint": "true"}'), ("/nodes?view=summary", None)):
        assert status(cluster.dashboard + path, headers, body) in (401, 403)
    assert status(cluster.dashboard + "/api/jobs/", {"Authorization": f"Bearer {TOKEN}"}) == 200


def status(url, headers, body=None):
    request = urllib.request.Request(url, data=body, headers={**headers, "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


JOIN = """
import sys
from explorer.launch.cluster import connected
with connected(sys.argv[1]):
    print("in")
"""


def test_only_who_holds_the_token_joins(cluster):
    """The refusal is one sentence, and comes before a driver is born."""
    assert "in" in cluster.run(os.environ["WARM_PYTHON"], "-c", JOIN, cluster.gcs).stdout.splitlines()
    wrong = cluster.run(os.environ["WARM_PYTHON"], "-c", JOIN, cluster.gcs, RAY_AUTH_TOKEN="d" * 40)
    assert "in" not in wrong.stdout.splitlines()
    assert "StudyError" in wrong.stdout
    assert "RAY_AUTH_TOKEN" in wrong.stdout


@pytest.fixture(scope="module")
def small(tiny_spec):
    """Two trials and a baseline, with one teacher."""
    space = {name: tiny_spec["space"][name] for name in ("lambda_kd", "lambda_hakd")}
    base = {**tiny_spec["base"], "pair": tiny_spec["space"]["pair"][0]}
    changes = {"space": space, "base": base, "enqueue": [], "num_trials": 2, "pruner": "nop", "max_concurrent": 1}
    return {**tiny_spec, **changes}


@pytest.fixture
def shared(cluster):
    """Storage that all nodes see, with one cache of teachers for the studies in it."""
    path = cluster.temp / "studies"
    path.mkdir(exist_ok=True)
    return path


def states(folder):
    _, studies = load_studies(folder)
    return {role: [trial.state.name for trial in study.get_trials()] for role, study in studies.items()}


def test_a_submitted_sweep_is_run_by_the_cluster(cluster, small, shared, tmp_path):
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(small))
    said = cluster.run(
        *HETEROAKD,
        "submit",
        tmp_path / "spec.yaml",
        "--address",
        cluster.dashboard,
        "--out",
        shared / "job",
        "--follow",
    )
    assert said.returncode == 0, said.stdout
    assert "job: raysubmit_" in said.stdout
    assert "search 1:" in said.stdout
    assert states(shared / "job") == {"baseline": ["COMPLETE"], "search": ["COMPLETE"] * 2}
    assert list((shared / "teachers").glob("*/teacher.safetensors"))
    assert list(
        cluster.temp.glob("0/session_2*/runtime_resources/py_modules_files/*/explorer/cli/app.py")
    )  # our code went too


def test_a_sweep_through_ray_client_runs_there_and_ctrl_c_leaves_it_resumable(cluster, small, shared, tmp_path):
    long = {**small, "base": {**small["base"], "steps": 30, "eval_every": 2}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(long))
    out = shared / "client"
    command = [*HETEROAKD, "sweep", tmp_path / "spec.yaml", "--out", out, "--address", cluster.client]
    log = tmp_path / "log"
    with log.open("w") as lines:
        process = subprocess.Popen(command, env=cluster.environment, stdout=lines, stderr=subprocess.STDOUT)
    wait_for(lambda: list(out.glob("trials/*/log.jsonl")), process, log)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130, log.read_text()
    assert "teacher fpn:tu-test_resnet" in log.read_text()
    assert f"heteroakd resume {out}" in " ".join(log.read_text().split())

    said = cluster.run(*HETEROAKD, "resume", out, "--address", cluster.client)
    assert said.returncode == 0, said.stdout
    assert states(out) == {"baseline": ["COMPLETE"], "search": ["COMPLETE"] * 2}
    _, studies = load_studies(out)
    for trial in studies["search"].get_trials():
        assert sorted(trial.intermediate_values) == list(range(2, 31, 2))


def test_a_mistake_seen_on_the_cluster_is_one_sentence_here(cluster, small, shared, tmp_path):
    """As a job, whose exit code is followed, and through Ray Client; side by side, since both mostly import."""
    nowhere = {**small, "base": {**small["base"], "data": "/no/such/data"}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(nowhere))
    job = ("submit", tmp_path / "spec.yaml", "--address", cluster.dashboard, "--out", shared / "no", "--follow")
    client = ("resume", shared / "nothing", "--address", cluster.client)
    with ThreadPoolExecutor() as both:
        submitted, resumed = both.map(lambda arguments: cluster.run(*HETEROAKD, *arguments), (job, client))
    assert submitted.returncode == 2, submitted.stdout
    assert "'/no/such/data'" in submitted.stdout
    assert resumed.returncode == 2, resumed.stdout
    assert "holds no study" in resumed.stdout
    assert "Traceback" not in submitted.stdout + resumed.stdout


def test_a_head_too_busy_for_a_client_says_so(monkeypatch):
    said = "Initialization failure from server:\nTraceback (most recent call last):\n  ...\nRuntimeError: Proxy failed."

    def aborted(**_):
        raise ConnectionAbortedError(said)

    monkeypatch.setattr("ray.init", aborted)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"ray://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(StudyError) as error, remote._client(address, PurePosixPath("/studies/one"), []):
            pass
    assert str(error.value) == (
        f"The Ray cluster at {address!r} could not start a process for this client (RuntimeError: Proxy failed). Try "
        "again when its head is less busy, or use `heteroakd submit`."
    )


def test_an_address_where_nothing_listens_is_refused_at_once(free_ports, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # so that nothing is looked for
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("Ray was asked"))
    (port,) = free_ports()
    sentence = f"No Ray cluster lets us in at '127.0.0.1:{port}'"
    with pytest.raises(StudyError, match=sentence), connected(f"127.0.0.1:{port}"):
        pass
    with pytest.raises(StudyError, match=f"No Ray cluster lets us in at 'ray://127.0.0.1:{port}'"):
        remote.resume(Path("/nfs/study"), console=Console(), address=f"ray://127.0.0.1:{port}")
