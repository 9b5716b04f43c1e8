"""Tokens of the clouds: asked for once for all who need the same, and again before they expire."""

import asyncio
from collections.abc import AsyncIterator, Container
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import assert_never

from shared.clock import Now, now
from shared.cloud.accounts import CloudAccount
from shared.cloud.audiences import matched
from shared.cloud.kept import Expiring, Kept
from shared.cloud.tokens import (
    Application,
    CloudToken,
    IdentityError,
    ManagedIdentity,
    TokenRequest,
)
from shared.cluster.client import Cluster
from shared.credentials import Bearer, Proxy
from shared.outcomes import Failed, Stalled
from shared.redaction import redact
from shared.web.reach import EVERYWHERE, USUAL, Reach
from shared.web.wire import Wire, WireError

AUTHENTICATION_FAILED = "AuthenticationFailed"
OBJECT_LEVEL = "ObjectLevelWorkloadIdentity"
DEADLINE = timedelta(seconds=30)
_LIBRARIES = {
    "aws": "shared.cloud.aws",
    "azure": "shared.cloud.entra",
    "gcp": "shared.cloud.google_tokens",
}


class CloudIdentities:
    """`gates` are the feature gates that are open."""

    def __init__(
        self,
        cluster: Cluster,
        gates: Container[str] = frozenset(),
        now: Now = now,
        reach: Reach = USUAL,
    ) -> None:
        self._cluster = cluster
        self._reach = reach
        self._gates = gates
        self._now = now
        self._tokens: Kept[TokenRequest, CloudToken] = Kept(now)
        self._applications: Kept[tuple[Application, Proxy | None], Bearer] = Kept(now)

    async def token(self, ask: TokenRequest) -> CloudToken:
        """Raises Failed (AuthenticationFailed), or Stalled when the gate is shut."""
        if ask.service_account and OBJECT_LEVEL not in self._gates:
            raise Stalled(
                f"spec.serviceAccountName: to use the cloud identity of ServiceAccount "
                f"{ask.service_account}, enable the feature gate {OBJECT_LEVEL}",
                reason="FeatureGateDisabled",
            )
        async with _translated():
            matched(ask)  # also when the token is known already
        return await self._tokens.get(_as_key(ask), lambda: self._ask(ask))

    async def storage_token(self, application: Application, proxy: Proxy | None) -> Bearer:
        """As an application that a Secret names. Raises Failed."""

        async def ask() -> Expiring[Bearer]:
            async with _translated(), self._wire_of(application, proxy) as wire:
                await wire.call(import_module, _LIBRARIES["azure"])
                from shared.cloud.entra import application_token

                return await application_token(application, wire)

        return await self._applications.get((application, proxy), ask)

    async def _ask(self, ask: TokenRequest) -> Expiring[CloudToken]:
        account = CloudAccount(self._cluster, ask.service_account) if ask.service_account else None
        # Who the controller is, its own environment says: no proxy of a tenant has a part in that.
        async with (
            _translated(),
            Wire.open(reach=EVERYWHERE) as direct,
            Wire.open(proxy=ask.proxy, reach=self._reach) as wire,
        ):
            await direct.call(import_module, _LIBRARIES[ask.provider])  # takes a second
            token = await self._of_provider(ask, wire, direct, account)
        return Expiring(token, token.expires_at)

    def _wire_of(
        self, application: Application, proxy: Proxy | None
    ) -> AbstractAsyncContextManager[Wire]:
        """The node itself knows a managed identity, at an address that is no tenant's."""
        if isinstance(application, ManagedIdentity):
            return Wire.open(reach=EVERYWHERE)
        return Wire.open(proxy=proxy, reach=self._reach)

    async def _of_provider(
        self, ask: TokenRequest, wire: Wire, direct: Wire, account: CloudAccount | None
    ) -> CloudToken:
        match ask.provider:
            case "aws":
                from shared.cloud.aws import aws_token

                return await aws_token(ask, wire, account, self._now)
            case "azure":
                from shared.cloud.entra import azure_token

                return await azure_token(ask, wire, direct, account, self._now)
            case "gcp":
                from shared.cloud.google_tokens import google_token

                return await google_token(ask, wire, direct, account, self._now)
            case _:
                assert_never(ask.provider)


def _as_key(ask: TokenRequest) -> TokenRequest:
    """Without what the token does not depend on."""
    match ask.audience_kind:
        case "registry":
            return replace(ask, url=ask.host)
        case "git":
            return ask if ask.provider == "aws" else replace(ask, url=ask.host)
        case "storage":
            return replace(ask, url="")


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(DEADLINE.total_seconds()):
            yield
    except (IdentityError, WireError) as error:
        raise Failed(redact(str(error)), reason=AUTHENTICATION_FAILED) from error
    except TimeoutError as error:
        problem = f"no token from the cloud within {DEADLINE.total_seconds():g}s"
        raise Failed(problem, reason=AUTHENTICATION_FAILED) from error
