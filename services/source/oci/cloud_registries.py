"""Logins to the registries of clouds, by who we are there."""

from dataclasses import dataclass
from typing import Protocol, get_args

from services.source.endings import FetchFailed, FetchStalled
from services.source.oci.address import RegistryLogin, Repository
from services.source.referenced_secrets import AUTHENTICATION_FAILED
from shared.cloud import AwsKeys, CloudToken, TokenRequest
from shared.cloud.tokens import Provider
from shared.credentials import Proxy
from shared.resources.meta import NamespacedName

INVALID_PROVIDER = "InvalidProviderConfiguration"


class Identities(Protocol):
    """The part of `CloudIdentities` that is needed here."""

    async def token(self, ask: TokenRequest) -> CloudToken: ...


@dataclass(frozen=True)
class CloudRegistries:
    """Implements `visits.CloudLogins`."""

    identities: Identities

    async def login(
        self,
        provider: str,
        repository: Repository,
        service_account: NamespacedName | None,
        proxy: Proxy | None,
    ) -> RegistryLogin:
        if repository.access.insecure:
            raise FetchStalled(
                f"spec.insecure: an identity of {provider} is shown to nobody whose certificate "
                "is not checked; remove the field, or use provider generic with a Secret",
                reason=INVALID_PROVIDER,
            )
        token = await self.identities.token(
            TokenRequest(
                provider=_known(provider),
                audience_kind="registry",
                url=f"https://{repository}",
                service_account=service_account,
                proxy=proxy,
            )
        )
        if isinstance(token.login, AwsKeys):
            problem = f"{provider} gave keys in place of a login to {repository.host}"
            raise FetchFailed(problem, reason=AUTHENTICATION_FAILED)
        return token.login


def _known(provider: str) -> Provider:
    for each in get_args(Provider):
        if each == provider:
            known: Provider = each
            return known
    raise FetchStalled(
        f"spec.provider: {provider!r} is none of {', '.join(get_args(Provider))}",
        reason=INVALID_PROVIDER,
    )
