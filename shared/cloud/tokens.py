"""What is asked of a cloud's identity service, and what it gives."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from shared.credentials import Basic, Bearer, Proxy
from shared.redaction import MASK
from shared.resources.meta import NamespacedName

Provider: TypeAlias = Literal["aws", "azure", "gcp"]
AudienceKind: TypeAlias = Literal["registry", "git", "storage"]


@dataclass(frozen=True, kw_only=True)
class TokenRequest:
    """`service_account` None: as the controller itself; else as that account's cloud identity."""

    provider: Provider
    audience_kind: AudienceKind
    url: str  # of what the token is for: an image, a repository, a bucket's endpoint
    service_account: NamespacedName | None = None
    proxy: Proxy | None = None
    sts_endpoint: str = ""  # of AWS's token service, when it is not the public one

    @property
    def host(self) -> str:
        url = self.url if "://" in self.url else f"https://{self.url}"
        return (urlsplit(url).hostname or "").lower()


@dataclass(frozen=True, repr=False)
class AwsKeys:
    """What signs requests to AWS."""

    access_key: str
    secret_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return f"AwsKeys({MASK})"


class Where(NamedTuple):
    """Of a service of AWS, or one like it. `endpoint` empty: the region's own."""

    region: str = ""
    endpoint: str = ""
    path_style: bool = False


CloudLogin: TypeAlias = Basic | Bearer | AwsKeys


@dataclass(frozen=True)
class CloudToken:
    """Registered with the redactor before anybody sees it."""

    login: CloudLogin
    expires_at: datetime


# What a Secret may say of an application that Entra knows.


@dataclass(frozen=True)
class ClientSecret:
    tenant: str
    client: str
    secret: str = field(repr=False)
    authority: str = ""


@dataclass(frozen=True)
class ClientCertificate:
    tenant: str
    client: str
    certificate: str = field(repr=False)
    password: str = field(repr=False)
    send_chain: bool = False
    authority: str = ""


@dataclass(frozen=True)
class ManagedIdentity:
    client: str


Application: TypeAlias = ClientSecret | ClientCertificate | ManagedIdentity


class IdentityError(Exception):
    """The cloud gave no token; the message says what is missing or was refused."""
