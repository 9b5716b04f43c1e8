"""Secrets that sources refer to, read by name and remembered for a while.

An interval tick with nothing new asks the API server nothing. So a Secret is read again when
somebody asks for a run, when the spec changed, when a server refuses what we know, or when it is
old.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from services.source.endings import FetchFailed
from shared.cluster.client import Cluster
from shared.cluster.objects import ObjectRef
from shared.credentials import InvalidCredentials, secret_values
from shared.resources.meta import NamespacedName

REMEMBERED = timedelta(minutes=10)
MOST_KNOWN = 5000
AUTHENTICATION_FAILED = "AuthenticationFailed"


class _Known(NamedTuple):
    values: dict[str, bytes]
    read_at: float


class ReferencedSecrets:
    def __init__(self, cluster: Cluster, clock: Callable[[], float] | None = None) -> None:
        self._cluster = cluster
        self._clock = clock
        self._known: dict[NamespacedName, _Known] = {}

    async def values(self, key: NamespacedName, *, fresh: bool = False) -> dict[str, bytes]:
        """Raises FetchFailed when it is not there, or is not what a Secret is."""
        known = self._known.get(key)
        if known and not fresh and self._now() - known.read_at < REMEMBERED.total_seconds():
            return known.values
        self._known.pop(key, None)
        secret = await self._cluster.read(ObjectRef("v1", "Secret", *key))
        if secret is None:
            raise FetchFailed(f"Secret {key} not found", reason=AUTHENTICATION_FAILED)
        try:
            values = secret_values(secret)
        except InvalidCredentials as error:
            raise unusable(key, error) from error
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[key] = _Known(values, self._now())
        return values

    def _now(self) -> float:
        return self._clock() if self._clock else asyncio.get_running_loop().time()


def unusable(key: NamespacedName, error: InvalidCredentials) -> FetchFailed:
    return FetchFailed(f"Secret {key}: {error}", reason=AUTHENTICATION_FAILED)
