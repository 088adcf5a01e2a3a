"""A cluster of three raylets with a CPU each on this machine's loopback: `ray_cluster.py TEMP GCS DASHBOARD CLIENT`.

Prints the node id and the raylet's process id of both workers as JSON, then lives as long as its standard input.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from ray._private import ray_constants, services
from ray._private.utils import write_ray_address
from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "dashboard_agent_listen_port": 0}

start = services.start_ray_process


def with_fewer_modules(command: list[str], kind: str, *given: Any, **named: Any) -> Any:
    """Of the dashboard's nine modules, a process each, the two that tests ask for: jobs and the nodes' list."""
    fewer = ["--modules-to-load=JobHead,NodeHead"] if kind == ray_constants.PROCESS_TYPE_DASHBOARD else []
    return start([*command, *fewer], kind, *given, **named)


def main(temp: str, gcs: int, dashboard: int, client: int) -> None:
    ports = {
        "gcs_server_port": gcs,
        "dashboard_port": dashboard,
        "ray_client_server_port": client,
        "min_worker_port": 0,  # any; the default range may hold one of those above
        "max_worker_port": 0,
    }
    services.start_ray_process = with_fewer_modules
    head = {"include_dashboard": True, "dashboard_host": "127.0.0.1", "temp_dir": f"{temp}/0", **ports, **NODE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    # Machines of their own share no folder either: one node would unpack a job's working folder over another's.
    workers = [cluster.add_node(temp_dir=f"{temp}/{number}", **NODE) for number in (1, 2)]
    for number in range(3):  # as `ray start` does; else a job takes any cluster on this machine for its own
        write_ray_address(cluster.address, f"{temp}/{number}")
    print(json.dumps({node.node_id: node.all_processes["raylet"][0].process.pid for node in workers}), flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
