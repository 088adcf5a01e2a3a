"""How a group of trials hears what becomes of its members: Tune takes results from a worker and gives nothing back."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

Answer = dict[str, Any]
Key = tuple[str, int]
_HOSTS = 10_000  # that may wait at a time


class _Box:
    """An actor: whoever comes first waits."""

    def __init__(self) -> None:
        self._letters: dict[Key, asyncio.Future[Answer]] = defaultdict(
            lambda: asyncio.get_running_loop().create_future()
        )

    async def put(self, key: Key, answer: Answer) -> None:
        self._letters[key].set_result(answer)

    async def take(self, key: Key) -> Answer:
        answer = await self._letters[key]
        del self._letters[key]
        return answer


class Mailbox:
    """Answers by the Tune trial and the number of its result. Travels to workers.

    It lives with its driver and on the driver's node; a worker that waits in vain dies, and its trials go on later.
    """

    def __init__(self) -> None:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        remote: Any = ray.remote
        actor = remote(num_cpus=0, max_concurrency=_HOSTS)(_Box)
        self._box = actor.options(scheduling_strategy=here).remote()

    def put(self, host: str, number: int, answer: Answer) -> None:
        """Send; does not wait."""
        self._box.put.remote((host, number), answer)

    def take(self, host: str, number: int) -> Answer:
        """Wait for it."""
        answer: Answer = ray.get(self._box.take.remote((host, number)))
        return answer
