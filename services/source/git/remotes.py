"""From a GitRepository to the server that it names: who we are there, and through which proxy."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Protocol

from services.source.endings import FetchFailed, FetchStalled
from services.source.git.github_app import GitHubApps, Way
from services.source.git.remote import InvalidUrl, Remote, remote_of, require_certificates
from services.source.referenced_secrets import (
    AUTHENTICATION_FAILED,
    ReferencedSecrets,
    unusable,
)
from services.source.timeouts import timeout_of
from shared.cloud import CloudToken, TokenRequest
from shared.credentials import (
    Basic,
    Bearer,
    InvalidCredentials,
    Proxy,
    github_app,
    proxy_credentials,
    tls_credentials,
)
from shared.resources.meta import LocalObjectReference, NamespacedName
from shared.resources.source import GitRepository

INVALID_PROVIDER = "InvalidProviderConfiguration"
_CLOUDS: Mapping[str, Literal["aws", "azure"]] = {"aws": "aws", "azure": "azure"}


class CloudTokens(Protocol):
    """As `shared.cloud.CloudIdentities`."""

    async def token(self, ask: TokenRequest) -> CloudToken: ...


class GitRemotes:
    def __init__(
        self,
        secrets: ReferencedSecrets,
        apps: GitHubApps,
        clouds: CloudTokens,
    ) -> None:
        self._secrets = secrets
        self._apps = apps
        self._clouds = clouds

    async def of(self, repository: GitRepository, *, fresh: bool) -> Remote:
        """`fresh` reads the Secrets again.

        Raises FetchFailed and FetchStalled.
        """
        _require_sense(repository)
        proxy = await self._proxy(repository, fresh=fresh)
        values = await self._values(repository, repository.spec.secret_ref, fresh=fresh)
        try:
            remote = await self._remote(repository, values, proxy, fresh=fresh)
            await _require_keys(remote)
        except InvalidUrl as error:
            raise FetchStalled(f"spec.url: {error}", reason="URLInvalid") from error
        except InvalidCredentials as error:
            raise _unusable(repository, error) from error
        return remote

    async def _proxy(self, repository: GitRepository, *, fresh: bool) -> Proxy | None:
        reference = repository.spec.proxy_secret_ref
        values = await self._values(repository, reference, fresh=fresh)
        if reference is None or values is None:
            return None
        try:
            return proxy_credentials(values)
        except InvalidCredentials as error:
            raise unusable(_key(repository, reference), error) from error

    async def _values(
        self, repository: GitRepository, reference: LocalObjectReference | None, *, fresh: bool
    ) -> dict[str, bytes] | None:
        if reference is None:
            return None
        return await self._secrets.values(_key(repository, reference), fresh=fresh)

    async def _remote(
        self,
        repository: GitRepository,
        values: dict[str, bytes] | None,
        proxy: Proxy | None,
        *,
        fresh: bool,
    ) -> Remote:
        provider = repository.spec.provider or "generic"
        has_app = "githubAppID" in (values or {})
        if has_app != (provider == "github"):
            raise _wrong_keys(repository, provider)
        if provider == "generic":
            return remote_of(repository.spec.url, values, proxy)
        remote = remote_of(repository.spec.url, None, proxy)
        tls = tls_credentials(values or {})
        require_certificates(tls)
        if provider == "github":
            way = Way(timeout_of(repository), proxy, tls)
            login: Basic | Bearer = await self._apps.login(
                github_app(values or {}), way, fresh=fresh
            )
        else:
            login = await self._cloud_login(repository, remote)
        return replace(remote, credentials=replace(remote.credentials, login=login, tls=tls))

    async def _cloud_login(self, repository: GitRepository, remote: Remote) -> Basic | Bearer:
        provider, account = repository.spec.provider or "", repository.spec.service_account_name
        namespace = repository.metadata.namespace
        token = await self._clouds.token(
            TokenRequest(
                provider=_CLOUDS[provider],
                audience_kind="git",
                url=remote.url,
                service_account=NamespacedName(namespace, account) if account else None,
                proxy=remote.proxy,
            )
        )
        if not isinstance(token.login, Basic | Bearer):
            problem = f"provider {provider} gave no login for Git"
            raise FetchFailed(problem, reason=AUTHENTICATION_FAILED)
        return token.login


def scope_of(repository: GitRepository) -> str:
    """Who reads: what was fetched for one is not shown to another."""
    spec = repository.spec
    cloud = spec.provider if spec.provider in _CLOUDS else ""
    references = (spec.secret_ref, spec.proxy_secret_ref)
    names = [reference.name if reference else "" for reference in references]
    said = [*names, cloud or "", spec.service_account_name or ""]
    return "/".join((repository.metadata.namespace, *said)).rstrip("/") if any(said) else ""


def _require_sense(repository: GitRepository) -> None:
    spec = repository.spec
    provider = spec.provider or "generic"
    if provider == "github" and spec.secret_ref is None:
        raise _invalid_provider("github needs a Secret with the keys of a GitHub App")
    if provider != "generic" and spec.url.startswith("ssh:"):
        raise _invalid_provider(f"{provider} is for https; spec.url is ssh")
    if spec.service_account_name and provider not in _CLOUDS:
        raise _invalid_provider(f"{provider} has no use for spec.serviceAccountName")


async def _require_keys(remote: Remote) -> None:
    """Keys that cannot be read are found while it is known whose they are."""
    if remote.ssh is not None:
        from services.source.git.ssh_keys import keys_of

        await keys_of(remote.ssh)


def _key(repository: GitRepository, reference: LocalObjectReference) -> NamespacedName:
    return NamespacedName(repository.metadata.namespace, reference.name)


def _unusable(repository: GitRepository, error: InvalidCredentials) -> FetchFailed:
    reference = repository.spec.secret_ref
    if reference is None:
        return FetchFailed(f"spec.secretRef: {error}", reason=AUTHENTICATION_FAILED)
    return unusable(_key(repository, reference), error)


def _invalid_provider(problem: str) -> FetchStalled:
    return FetchStalled(f"spec.provider: {problem}", reason=INVALID_PROVIDER)


def _wrong_keys(repository: GitRepository, provider: str) -> FetchFailed:
    reference = repository.spec.secret_ref
    secret = f"Secret {_key(repository, reference)}" if reference else "spec.secretRef"
    has = "has no" if provider == "github" else "has"
    problem = f"{secret} {has} keys of a GitHub App, but spec.provider is {provider!r}"
    return FetchFailed(problem, reason=INVALID_PROVIDER)
