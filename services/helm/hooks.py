"""Runs a chart's hooks: one after the other, by weight and name, each to its end.

Hooks run at least once. Each is recorded as running in the release before its object is made, and
the record of its end is written with the next one; a run that dies between the two is repeated by
the next run, which makes the object anew. A hook that must not run twice has to see to that itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.helm.manifests import Placed
from services.helm.names import FIELD_MANAGER
from services.helm.release_secret import StoredRelease, go_time
from services.helm.storage import ReleaseStorage
from services.helm.waiting import until_ended, until_gone
from shared import documents
from shared.clock import Now
from shared.cluster.objects import Manifest, ref_of
from shared.outcomes import Failed

BEFORE_CREATION = "before-hook-creation"
SUCCEEDED, FAILED = "hook-succeeded", "hook-failed"


class HookFailed(Failed):
    """The action that the hook belongs to fails with it."""


@dataclass(frozen=True)
class Hook:
    """One hook of a release; `position` is its place in the release's list."""

    position: int
    name: str
    path: str
    weight: int
    policies: frozenset[str]
    objects: tuple[Manifest, ...]

    def is_deleted_when(self, policy: str) -> bool:
        # Deleting a definition would take all objects of its kind along.
        return policy in self.policies and not any(map(_is_definition, self.objects))


class Hooks:
    """Of one version of a release. `stored` is that version as it was last written, but for the
    end of the last hook. `within`: what each hook may take."""

    def __init__(
        self,
        stored: StoredRelease,
        storage: ReleaseStorage,
        placed: Placed,
        within: timedelta,
        now: Now,
    ) -> None:
        self.stored = stored
        self._storage = storage
        self._placed = placed
        self._cluster = placed.cluster
        self._within = within
        self._now = now

    async def run(self, events: frozenset[str]) -> None:
        """Raises HookFailed."""
        done: list[Hook] = []
        for hook in in_order(hooks_for(self.stored, events)):
            await self._run(hook, done)
            done.append(hook)
        for hook in reversed(done):
            await self._delete(hook, SUCCEEDED)

    async def _run(self, hook: Hook, done: Sequence[Hook]) -> None:
        await self._delete(hook, BEFORE_CREATION)
        started = {"started_at": go_time(self._now())}
        self._note(hook, started | {"phase": "Running"})
        self.stored = await self._storage.update(self.stored)
        try:
            await self._make(hook)
        except Failed as error:
            self._note(hook, started | self._ended("Failed"))
            await self._delete(hook, FAILED)
            for earlier in done:
                await self._delete(earlier, SUCCEEDED)
            raise HookFailed(f"hook {hook.path} failed: {error}") from error
        self._note(hook, started | self._ended("Succeeded"))

    def _ended(self, phase: str) -> dict[str, str]:
        return {"completed_at": go_time(self._now()), "phase": phase}

    def _note(self, hook: Hook, last_run: dict[str, str]) -> None:
        hooks = list(self.stored.body["hooks"])
        hooks[hook.position] = {**hooks[hook.position], "last_run": last_run}
        self.stored = self.stored.having(hooks=hooks)

    async def _make(self, hook: Hook) -> None:
        for manifest in await self._placed.all(hook.objects):
            applied = await self._cluster.apply(manifest, manager=FIELD_MANAGER)
            await until_ended(self._cluster, ref_of(applied), self._within, self._now)

    async def _delete(self, hook: Hook, policy: str) -> None:
        if not hook.is_deleted_when(policy):
            return
        for manifest in await self._placed.all(hook.objects):
            ref = ref_of(manifest)
            found = await self._cluster.read(ref)
            if found is not None:
                uid = found["metadata"]["uid"]
                await self._cluster.delete(ref, uid=uid)
                await until_gone(self._cluster, ref, uid, self._within)


def hooks_for(stored: StoredRelease, events: frozenset[str]) -> list[Hook]:
    """The release's hooks for any of these events; raises HookFailed for unreadable ones."""
    hooks = stored.body.get("hooks") or []
    return [
        _read(position, hook)
        for position, hook in enumerate(hooks)
        if events & set(hook.get("events") or ())
    ]


def _is_definition(manifest: Any) -> bool:
    return isinstance(manifest, dict) and manifest.get("kind") == "CustomResourceDefinition"


def in_order(hooks: Iterable[Hook]) -> list[Hook]:
    return sorted(hooks, key=lambda hook: (hook.weight, hook.name))


def _read(position: int, hook: dict[str, Any]) -> Hook:
    path = hook.get("path", "")
    try:
        objects = [each for each in documents.load_all(hook["manifest"]) if each]
    except documents.DocumentError as error:
        raise HookFailed(f"hook {path} is not YAML: {error}") from error
    return Hook(
        position=position,
        name=hook.get("name", ""),
        path=path,
        weight=hook.get("weight", 0),
        policies=frozenset(hook.get("delete_policies") or {BEFORE_CREATION}),
        objects=tuple(objects),
    )
