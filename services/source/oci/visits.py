"""Visits to registries as the specs of sources have it: which Secrets, which identity, which proxy.

OCIRepository and charts in registries describe a `Visit`; what its Secrets hold is remembered, and
read again when a registry refuses what we know.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple, Protocol, TypeVar

from services.source.endings import FetchFailed
from services.source.oci.address import Access, RegistryLogin, Repository
from services.source.oci.docker_config import registry_login
from services.source.oci.transport import RegistryError
from services.source.referenced_secrets import (
    AUTHENTICATION_FAILED,
    MOST_KNOWN,
    REMEMBERED,
    ReferencedSecrets,
    unusable,
)
from shared.cluster.client import Cluster
from shared.cluster.objects import ObjectRef
from shared.credentials import (
    InvalidCredentials,
    Proxy,
    Tls,
    proxy_credentials,
    tls_credentials,
)
from shared.resources.meta import NamespacedName

T = TypeVar("T")
GENERIC = "generic"
MOST_PULL_SECRETS = 50


@dataclass(frozen=True, kw_only=True)
class Visit:
    """Names are of Secrets and of a ServiceAccount in the namespace."""

    repository: Repository
    namespace: str
    deadline: timedelta
    provider: str = GENERIC
    login: str | None = None
    service_account: str | None = None
    certificates: str | None = None
    proxy: str | None = None
    insecure: bool = False


class CloudLogins(Protocol):
    """Who we are at a registry of a cloud."""

    async def login(
        self,
        provider: str,
        repository: Repository,
        service_account: NamespacedName | None,
        proxy: Proxy | None,
    ) -> RegistryLogin:
        """Raises FetchFailed, or FetchStalled when that is not allowed here."""


class RegistryVisits:
    def __init__(self, cluster: Cluster, secrets: ReferencedSecrets, clouds: CloudLogins) -> None:
        self._secrets = secrets
        self._accounts = _ServiceAccounts(cluster, secrets)
        self._clouds = clouds

    async def ask(
        self, visit: Visit, question: Callable[[Repository], Awaitable[T]], *, fresh: bool
    ) -> T:
        """`fresh` reads the Secrets again; so does a registry that refuses what we remembered.

        Raises FetchFailed when they cannot be used, and what the question raises.
        """
        repository = await self.repository(visit, fresh=fresh)
        try:
            return await question(repository)
        except RegistryError as error:
            if fresh or not error.refused:
                raise
            renewed = await self.repository(visit, fresh=True)
            if renewed == repository:
                raise
        except InvalidCredentials as error:  # certificates are first read when they are used
            raise _unusable(visit.namespace, visit.certificates or "", error) from error
        return await question(renewed)

    async def repository(self, visit: Visit, *, fresh: bool) -> Repository:
        """The repository of the visit, as the visitor sees it."""
        tls = await self._tls(visit, fresh=fresh)
        proxy = await self._proxy(visit, fresh=fresh)
        access = Access(tls=tls, proxy=proxy, insecure=visit.insecure, deadline=visit.deadline)
        login = await self._login(visit, proxy, fresh=fresh)
        return visit.repository.seen_as(replace(access, login=login))

    async def _login(
        self, visit: Visit, proxy: Proxy | None, *, fresh: bool
    ) -> RegistryLogin | None:
        if visit.provider != GENERIC and visit.login is None:
            return await self._cloud_login(visit, proxy)
        for name in await self._pull_secrets(visit, fresh=fresh):
            values = await self._values(visit, name, fresh=fresh)
            try:
                login = registry_login(values, visit.repository)
            except InvalidCredentials as error:
                raise _unusable(visit.namespace, name, error) from error
            if login is not None:
                return login
        return None

    async def _cloud_login(self, visit: Visit, proxy: Proxy | None) -> RegistryLogin:
        account = visit.service_account
        name = NamespacedName(visit.namespace, account) if account else None
        repository = visit.repository.seen_as(Access(insecure=visit.insecure))
        return await self._clouds.login(visit.provider, repository, name, proxy)

    async def _pull_secrets(self, visit: Visit, *, fresh: bool) -> list[str]:
        names = [visit.login] if visit.login else []
        if visit.service_account and visit.provider == GENERIC:
            account = NamespacedName(visit.namespace, visit.service_account)
            names += await self._accounts.pull_secrets(account, fresh=fresh)
        return names

    async def _tls(self, visit: Visit, *, fresh: bool) -> Tls | None:
        if visit.certificates is None:
            return None
        values = await self._values(visit, visit.certificates, fresh=fresh)
        try:
            return _certificates(values)
        except InvalidCredentials as error:
            raise _unusable(visit.namespace, visit.certificates, error) from error

    async def _proxy(self, visit: Visit, *, fresh: bool) -> Proxy | None:
        if visit.proxy is None:
            return None
        values = await self._values(visit, visit.proxy, fresh=fresh)
        try:
            return proxy_credentials(values)
        except InvalidCredentials as error:
            raise _unusable(visit.namespace, visit.proxy, error) from error

    async def _values(self, visit: Visit, name: str, *, fresh: bool) -> Mapping[str, bytes]:
        return await self._secrets.values(NamespacedName(visit.namespace, name), fresh=fresh)


class _Known(NamedTuple):
    pull_secrets: list[str]
    read_at: float


class _ServiceAccounts:
    """Read by name and remembered for a while, as Secrets are."""

    def __init__(self, cluster: Cluster, secrets: ReferencedSecrets) -> None:
        self._cluster = cluster
        self._secrets = secrets
        self._known: dict[NamespacedName, _Known] = {}

    async def pull_secrets(self, key: NamespacedName, *, fresh: bool) -> list[str]:
        """Those that are there: as for the kubelet, an account may name what is not."""
        now = asyncio.get_running_loop().time()
        known = self._known.get(key)
        if known and not fresh and now - known.read_at < REMEMBERED.total_seconds():
            return known.pull_secrets
        account = await self._cluster.read(ObjectRef("v1", "ServiceAccount", *key))
        if account is None:
            raise FetchFailed(f"ServiceAccount {key} not found", reason=AUTHENTICATION_FAILED)
        there = []
        for name in _names(account.get("imagePullSecrets")):
            with suppress(FetchFailed):
                await self._secrets.values(NamespacedName(key.namespace, name), fresh=True)
                there.append(name)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[key] = _Known(there, now)
        return there


def _names(references: Any) -> list[str]:
    names = [each.get("name") for each in references or ()]
    return [name for name in names if name][:MOST_PULL_SECRETS]


def _certificates(values: Mapping[str, bytes]) -> Tls:
    tls = tls_credentials(values)
    if tls is None:
        raise InvalidCredentials("the Secret has neither ca.crt nor tls.crt")
    return tls


def _unusable(namespace: str, name: str, error: InvalidCredentials) -> FetchFailed:
    return unusable(NamespacedName(namespace, name), error)
