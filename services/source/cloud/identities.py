"""Tokens of the clouds: asked for once for all who need the same, and again before they expire."""

from collections.abc import Container

from services.source.cloud.tokens import CloudToken, TokenRequest
from shared.clock import Now, now
from shared.cluster.client import Cluster

OBJECT_LEVEL = "ObjectLevelWorkloadIdentity"


class CloudIdentities:
    """`gates` are the feature gates that are open."""

    def __init__(
        self, cluster: Cluster, gates: Container[str] = frozenset(), now: Now = now
    ) -> None:
        self._cluster = cluster
        self._gates = gates
        self._now = now

    async def token(self, ask: TokenRequest) -> CloudToken:
        """Raises FetchFailed (AuthenticationFailed), or FetchStalled when the gate is shut."""
        raise NotImplementedError
