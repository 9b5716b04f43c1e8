"""A ServiceAccount as clouds see it: its annotations say who it is there, a token proves it."""

from typing import Any

import orjson

from shared.cloud.tokens import IdentityError
from shared.cluster.client import Cluster
from shared.cluster.errors import NotFound
from shared.cluster.objects import ObjectRef
from shared.redaction import register
from shared.resources.meta import NamespacedName

LIFE_SECONDS = 600  # the shortest that the API server gives: it is used at once


class CloudAccount:
    def __init__(self, cluster: Cluster, key: NamespacedName) -> None:
        self.key = key
        self._cluster = cluster

    async def annotations(self) -> dict[str, str]:
        """Raises IdentityError when there is no such account."""
        account = await self._cluster.read(ObjectRef("v1", "ServiceAccount", *self.key))
        if account is None:
            raise IdentityError(f"ServiceAccount {self.key} not found")
        annotations: dict[str, str] = account["metadata"].get("annotations") or {}
        return annotations

    async def token(self, audience: str) -> str:
        """Signed by the API server, and good for this audience alone."""
        spec = {"audiences": [audience], "expirationSeconds": LIFE_SECONDS}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": spec,
        }
        path = f"/api/v1/namespaces/{self.key.namespace}/serviceaccounts/{self.key.name}/token"
        try:
            answer: dict[str, Any] = orjson.loads(
                await self._cluster.request("POST", path, request, repeatable=False)
            )
        except NotFound as error:
            raise IdentityError(f"ServiceAccount {self.key} not found") from error
        token: str = answer["status"]["token"]
        register(token)
        return token


def require(annotations: dict[str, str], name: str, key: NamespacedName) -> str:
    value = annotations.get(name, "")
    if not value:
        raise IdentityError(f"ServiceAccount {key} has no annotation {name}")
    return value
