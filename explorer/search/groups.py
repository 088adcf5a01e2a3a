"""The bridge over groups: what Tune calls a trial is a host, which trains several trials beside each other.

A member of a group reports, is judged, pruned, retried and told as by `Bridge`; only the way differs. Its host names it
in each result, and hears the answer through a mailbox: whether the member ends, and who takes the places that are free.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from explorer.search import deaths
from explorer.search.arms import Arm
from explorer.search.bridge import Asked, Bridge, Live
from explorer.search.deaths import Death, Fault
from trainables.config import TrialConfig

Post = Callable[[str, int, dict[str, Any]], None]
"""Sends an answer to a host: its id, the result's number, {"stop": ..., "join": [params, ...]}."""
_SUSPECT = "suspect"
"""Trial attribute: the step at which it was in a group that died; until it is past that, it runs alone."""


@dataclass
class Host:
    """A worker that trains trials of one arm and one `key` (`TrialConfig.shared_digest`)."""

    arm: Arm
    key: str
    members: set[str] = field(default_factory=set)


class GroupBridge(Bridge):
    """`live` is by the members' directories, `hosts` by Tune's trial ids."""

    def __init__(self, *args: Any, size: int, post: Callable[[str, int, dict[str, Any]], None], **options: Any) -> None:
        """Args:
        size: most trials of a group.
        post: sends an answer to a host: its id, the result's number, {"stop": ..., "join": [params, ...]}.
        """
        super().__init__(*args, **options)
        self.hosts: dict[str, Host] = {}
        self._size = size
        self._post = post

    def _next(self, trial_id: str) -> dict[str, Any] | str | None:
        if not self.interrupted and (found := self._pick()):
            self.hosts[trial_id] = Host(found.arm, _key(found))
            first = self._enter(trial_id, found)
            return {"members": [first, *self._fill(trial_id)]}
        coming_back = any(host.members for host in self.hosts.values())
        return None if coming_back and not self.interrupted else Searcher.FINISHED

    def _pick(self) -> Asked | None:
        """Suspects first: while one waits, no group is filled."""
        suspect = next((place for place, asked in enumerate(self._waiting) if _is_suspect(asked)), 0)
        return self._waiting.pop(suspect) if self._waiting else self._ask(self._arms)

    def _enter(self, trial_id: str, asked: Asked) -> dict[str, Any]:
        live = self._begin(asked, trial_id)
        self.live[live.directory] = live
        self.hosts[trial_id].members.add(live.directory)
        return live.params

    def _fill(self, trial_id: str) -> list[dict[str, Any]]:
        """Those that take a host's free places; none while a suspect waits for a host of its own, or has this one."""
        host, found = self.hosts[trial_id], list[dict[str, Any]]()
        members = [self.live[name] for name in host.members]
        if any(map(_is_suspect, self._waiting)) or any(_is_suspect(Asked(live.arm, live.trial)) for live in members):
            return found
        while len(host.members) < self._size and (asked := self._match(host)):
            found.append(self._enter(trial_id, asked))
        return found

    def _match(self, host: Host) -> Asked | None:
        """One that waits, else a new one. Those of other keys that are asked for on the way wait, at most a group of
        them: a proposal is the better the more results it knows.
        """
        self._settle()
        for place, asked in enumerate(self._waiting):
            if asked.arm is host.arm and _key(asked) == host.key:
                return self._waiting.pop(place)
        while len(self._waiting) < self._size and (fresh := self._ask([host.arm])):
            if _key(fresh) == host.key:
                return fresh
            self._waiting.append(fresh)
        return None

    def report(self, trial_id: str, result: dict[str, Any]) -> str:
        """Record a member's result, decide, and answer its host."""
        host, name = self.hosts[trial_id], result["member"]
        answer: dict[str, Any] = {"stop": False, "join": []}
        with self._interruptible():
            live = self.live[name]
            answer["stop"] = self._record(live, result) == TrialScheduler.STOP
            if not answer["stop"] and len(host.members) == 1 and self._makes_way(live):
                answer["stop"] = True
                self._again(live)
            if answer["stop"]:
                host.members.discard(name)
                del self.live[name]
            if not self.interrupted:
                answer["join"] = self._fill(trial_id)
        self._post(trial_id, result["number"], answer)
        return TrialScheduler.STOP if self.interrupted else TrialScheduler.CONTINUE

    def _makes_way(self, live: Live) -> bool:
        """Whether a trial that was a suspect has cleared itself while others wait to; it then goes on in a group."""
        cleared = live.trial.user_attrs.get(_SUSPECT, live.step) < live.step
        return cleared and any(map(_is_suspect, self._waiting))

    def note_death(self, trial_id: str, death: Death) -> None:
        for name in self.hosts[trial_id].members:
            self.live[name].death = death

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:  # noqa: ARG002
        """Tune's last word on a host. Without an error its members were interrupted, so they stay resumable."""
        host = self.hosts.pop(trial_id, None)
        lives = [self.live.pop(name) for name in sorted(host.members)] if host else []
        if not error:
            return
        with self._interruptible():
            if len(lives) == 1:
                self._died(lives[0])
            elif lives:
                self._died_together(lives)

    def _died_together(self, lives: list[Live]) -> None:
        """Nobody's fault until it happens to one alone. Out of memory, later groups are smaller too."""
        death = lives[0].death
        fault = deaths.judge(death, self._state)
        crowded = fault is not Fault.NODE and deaths.out_of_memory(death, self._state)
        if crowded:
            self._size = max(1, min(self._size, len(lives) // 2))
        for live in lives:
            if crowded or fault is Fault.TRIAL:
                live.trial.set_user_attr(_SUSPECT, live.step)
            elif fault is Fault.NOBODY:
                self._lost(live)
            self._again(live)


def _key(asked: Asked) -> str:
    return TrialConfig.parse(asked.trial.user_attrs["config"]).shared_digest()


def _is_suspect(asked: Asked) -> bool:
    return bool(asked.trial.user_attrs.get(_SUSPECT) == max(asked.steps, default=0))
