"""What a job is given, what is refused before it is sent, and the launchers that start clusters."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest
import yaml
from rich.console import Console

from explorer.launch import sweep, travel
from explorer.launch.submit import entrypoint, merge, submit
from explorer.results.trials import load_studies
from explorer.study import StudySpec
from trainables.errors import MissingExtra, StudyError

LAUNCHERS = Path(__file__).parents[3] / "cluster"
SPEC = {"space": {"lambda_kd": {"low": 0.1, "high": 1}}, "base": {"steps": 2, "pair": "fpn_r18:mbv3s"}}


def send(tmp_path, out="/nfs/study", address="http://127.0.0.1:1", runtime_env=None, **values):
    spec = StudySpec.parse({**SPEC, **values, "base": {**SPEC["base"], **values.get("base", {})}})
    return submit(spec, Path(out), address=address, console=Console(), runtime_env=runtime_env)


def test_a_relative_folder_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"--out must be an absolute path .* got 'sweeps/a'"):
        send(tmp_path, out="sweeps/a")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"base": {"data": "my-data"}}, "data must be an absolute path .* got 'my-data'"),
        ({"base": {"teacher_checkpoint": "t.safetensors"}}, "teacher_checkpoint must be an absolute path"),
        ({"storage": "sqlite:///study.db"}, "the storage's file must be an absolute path"),
        ({"storage_path": "checkpoints"}, "storage_path must be an absolute path"),
        ({"storage": "postgresql://me:secret@db/studies"}, "give storage, or mlflow, env:NAME"),
    ],
)
def test_what_the_cluster_could_not_see_is_refused(tmp_path, values, sentence):
    with pytest.raises(StudyError, match=sentence) as refused:
        send(tmp_path, **values)
    assert "secret" not in str(refused.value)


def test_a_wrong_spec_is_refused_here(tmp_path):
    with pytest.raises(ValueError, match="Unknown sampler 'tpa'"):
        send(tmp_path, sampler="tpa")


@pytest.mark.parametrize("address", ["127.0.0.1:8265", "ray://127.0.0.1:10001", "os"])
def test_only_http_is_the_job_servers(tmp_path, address):
    with pytest.raises(StudyError, match="such as http://HOST:8265"):
        send(tmp_path, address=address)


def test_no_job_server_is_one_sentence(tmp_path):
    with pytest.raises(StudyError, match=r"No Ray cluster lets us in at 'http://127.0.0.1:1'"):
        send(tmp_path)


def test_without_rays_job_client_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(
        MissingExtra, match=r"^aiohttp is not installed. `pip install 'heteroakd-explorer\[cluster\]'`\.$"
    ):
        send(tmp_path)


def test_the_entrypoint_quotes_the_folder():
    command = entrypoint(PurePosixPath("/nfs/a study; rm"), resume=False)
    assert command.endswith("sweep spec.yaml --out '/nfs/a study; rm' --address auto")
    assert entrypoint(PurePosixPath("/nfs/a"), resume=True).endswith("resume /nfs/a --address auto")


def test_our_packages_travel_from_where_they_are_installed():
    ours = travel.environment(PurePosixPath("/nfs/study"))
    assert [Path(folder).name for folder in ours["py_modules"]] == [
        "explorer",
        "trainables",
        "search_spaces",
        "dashboards",
    ]
    assert all((Path(folder) / "__init__.py").is_file() for folder in ours["py_modules"])
    assert ours["env_vars"]["HETEROAKD_CACHE"] == "/nfs/teachers"


def test_the_users_runtime_environment_is_on_top():
    ours = {"py_modules": ["a"], "env_vars": {"X": "1", "Y": "1"}, "excludes": []}
    both = merge(ours, {"py_modules": ["b"], "env_vars": {"X": "2"}, "pip": ["scipy"]})
    assert both == {"py_modules": ["a", "b"], "env_vars": {"X": "2", "Y": "1"}, "excludes": [], "pip": ["scipy"]}


def test_the_spec_has_the_working_folder():
    with pytest.raises(StudyError, match="working_dir is where the spec goes"):
        merge(travel.environment(PurePosixPath("/nfs/study")), {"working_dir": "."})


def test_the_ray_up_file_is_valid_and_asks_for_the_token_on_every_node():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((LAUNCHERS / "cluster.yaml").read_text())
    validate_config(prepare_config(config))
    for group in ("head_start_ray_commands", "worker_start_ray_commands"):
        starts = [command for command in config[group] if "ray start" in command]
        assert len(starts) == 1
        assert starts[0].startswith("RAY_AUTH_MODE=token ray start")
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    assert "~/.ray/auth_token" in config["file_mounts"]
    assert "security_group" not in config["provider"]  # Ray's own: SSH alone


def ray_job():
    return list(yaml.safe_load_all((LAUNCHERS / "rayjob.yaml").read_text()))


def pods():
    cluster = ray_job()[1]["spec"]["rayClusterSpec"]
    return [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


def test_the_ray_jobs_pods_fit_kubernetes_schema():
    kubernetes = pytest.importorskip("kubernetes_validate")
    version = kubernetes.latest_version()
    kubernetes.validate(ray_job()[0], version, strict=True)
    for template in pods():
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}, "template": template}
        kubernetes.validate(pod, version, strict=True)


def test_the_ray_job_asks_for_the_token_everywhere_and_takes_it_from_a_secret():
    kind, spec = ray_job()[1]["kind"], ray_job()[1]["spec"]
    assert kind == "RayJob"
    secret = {"name": "heteroakd-ray", "key": "auth_token"}
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token", "secretName": secret["name"]}
    for template in pods():
        (container,) = template["spec"]["containers"]
        environment = {item["name"]: item for item in container["env"]}
        assert environment["RAY_AUTH_MODE"]["value"] == "token"
        assert environment["RAY_AUTH_TOKEN"]["valueFrom"] == {"secretKeyRef": secret}
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in template["spec"]["volumes"]}
    assert spec["rayClusterSpec"]["headGroupSpec"]["serviceType"] == "ClusterIP"


def test_the_ray_jobs_spec_is_one_that_a_sweep_takes():
    spec = StudySpec.parse(yaml.safe_load(ray_job()[0]["data"]["spec.yaml"]))
    sweep.check(spec)
    workers = ray_job()[1]["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert spec.max_concurrent == sum(group["maxReplicas"] for group in workers)


SHIMS = {
    "srun": 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
    "scontrol": 'if [ "$1" = show ]; then echo node1; echo node2; else echo "$@" >> "$SHIM_LOG"; fi',
    "hostname": "echo 127.0.0.1",
    "heteroakd": 'exec "$WARM_PYTHON" -c "from explorer.cli.app import main; main()" "$@"',
}


@pytest.fixture
def slurm(tmp_path):
    """Run the batch script with SLURM's commands replaced by ones that run here, as if this were two nodes."""
    shims = tmp_path / "bin"
    shims.mkdir()
    for name, body in SHIMS.items():
        (shims / name).write_text(f"#!/bin/bash\n{body}\n")
        (shims / name).chmod(0o755)
    (tmp_path / "home").mkdir()
    job = str(os.getpid())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "HETEROAKD_"))}
    environment = {
        **kept,
        "PATH": f"{shims}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
        "SHIM_LOG": str(tmp_path / "scontrol.log"),
        "SLURM_JOB_ID": job,
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_CPUS_PER_TASK": "1",
    }

    def run(*arguments):
        command = [*map(str, ("bash", LAUNCHERS / "sweep.slurm", *arguments))]
        with log.open("w") as lines:
            batch = subprocess.Popen(
                command, env=environment, stdout=lines, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            return batch.wait(timeout=200), log.read_text()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(batch.pid, signal.SIGKILL)

    log = tmp_path / "slurm.log"
    yield run
    shutil.rmtree(f"/tmp/ray-{job}", ignore_errors=True)


def test_the_slurm_script_parses_and_sets_a_token_before_ray():
    script = (LAUNCHERS / "sweep.slurm").read_text()
    assert subprocess.run(["bash", "-n", LAUNCHERS / "sweep.slurm"]).returncode == 0
    assert script.index("RAY_AUTH_MODE=token") < script.index("ray start")


def test_the_slurm_script_runs_a_sweep_and_again_finds_it_whole(slurm, tiny_spec, tmp_path):
    spec = {**tiny_spec, "num_trials": 2, "pruner": "nop", "enqueue": [], "max_concurrent": 1}
    spec["space"] = {"lambda_kd": tiny_spec["space"]["lambda_kd"]}
    spec["base"] = {**tiny_spec["base"], "pair": tiny_spec["space"]["pair"][0]}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    first = slurm(tmp_path / "spec.yaml", tmp_path / "studies" / "a")
    assert first[0] == 0, first[1]
    _, studies = load_studies(tmp_path / "studies" / "a")
    assert [trial.state.name for trial in studies["search"].get_trials()] == ["COMPLETE"] * 2
    assert (tmp_path / "studies" / "teachers").is_dir()
    (tmp_path / "bin" / "ray").write_text("#!/bin/bash\n")  # a study that is whole needs no Ray
    (tmp_path / "bin" / "ray").chmod(0o755)
    again = slurm(tmp_path / "spec.yaml", tmp_path / "studies" / "a")
    assert again[0] == 0, again[1]
    assert "nothing to run" in again[1]
