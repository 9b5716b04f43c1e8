"""Where one delivery goes, with what credentials: a Provider and its Secrets, read when it is sent.

Everything that a Secret holds is registered with the redactor before anything else sees it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from shared import documents
from shared.credentials import Basic, Tls, secret_values, tls_credentials, without_userinfo
from shared.durations import InvalidDurationError, parse_duration
from shared.redaction import register
from shared.resources.meta import LocalObjectReference
from shared.resources.notification import Provider

# Answers None for a Secret that is not there.
ReadSecret: TypeAlias = Callable[[str, str], Awaitable[Mapping[str, Any] | None]]

TIMEOUT = timedelta(seconds=15)
ADDRESS_LIMIT = 2048
_SECRET_KEYS = frozenset({"address", "password", "proxy", "token"})
_SHORTEST_KEY = 16  # shorter words in headers and addresses are names, and masking them would hurt


class Misconfigured(Exception):
    """The Provider or its Secret must be changed; names the field or key and the remedy."""


@dataclass(frozen=True)
class Proxy:
    address: str
    login: Basic | None = None


@dataclass(frozen=True, kw_only=True)
class Target:
    type: str
    address: str = field(repr=False)
    channel: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: Tls | None = None
    proxy: Proxy | None = None
    timeout: timedelta = TIMEOUT

    @property
    def host(self) -> str:
        """All of the address that may be shown: paths and queries hold tokens."""
        return urlsplit(self.address).hostname or "its address"


async def target_of(provider: Provider, read_secret: ReadSecret) -> Target:
    """Raises Misconfigured, or Failed when a Secret cannot be read."""
    spec = provider.spec
    secret = await _text_values(provider, spec.secret_ref, "secretRef", read_secret)
    return Target(
        type=spec.type,
        address=_address(provider, secret),
        channel=spec.channel or "",
        username=secret.get("username") or spec.username or "",
        password=secret.get("password", ""),
        token=secret.get("token", ""),
        headers=_headers(secret.get("headers", "")),
        tls=await _tls(provider, read_secret),
        proxy=await _proxy(provider, secret, read_secret),
        timeout=_timeout(provider),
    )


async def _text_values(
    provider: Provider, ref: LocalObjectReference | None, field_name: str, read_secret: ReadSecret
) -> dict[str, str]:
    raw = await _raw_values(provider, ref, field_name, read_secret)
    texts = {}
    for key, value in raw.items():
        try:
            texts[key] = value.decode().strip()
        except UnicodeDecodeError as error:
            raise Misconfigured(
                f"key {key!r} of the Secret in spec.{field_name}: no text"
            ) from error
        if key in _SECRET_KEYS:
            register(texts[key])
    return texts


async def _raw_values(
    provider: Provider, ref: LocalObjectReference | None, field_name: str, read_secret: ReadSecret
) -> dict[str, bytes]:
    if ref is None:
        return {}
    namespace = provider.metadata.namespace
    secret = await read_secret(namespace, ref.name)
    if secret is None:
        raise Misconfigured(
            f"spec.{field_name}: Secret {namespace}/{ref.name} does not exist; create it"
        )
    return secret_values(secret)


def _address(provider: Provider, secret: Mapping[str, str]) -> str:
    address = secret.get("address") or (provider.spec.address or "").strip()
    if not address:
        raise Misconfigured("no address: set spec.address, or the key address of the Secret")
    if len(address) > ADDRESS_LIMIT:
        raise Misconfigured(f"the address is longer than {ADDRESS_LIMIT} characters")
    try:
        without_userinfo(address)  # so that a password in it is known to the redactor
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Misconfigured("the address is not a URL") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise Misconfigured("the address must be a URL that begins with http:// or https://")
    # Webhook addresses are credentials: what follows the host lets anybody write there.
    for part in (parts.query, parts.path.rpartition("/")[2]):
        _register_long(part)
    return address


def _headers(text: str) -> dict[str, str]:
    """A YAML mapping of strings."""
    try:
        loaded = documents.load(text) if text else {}
    except documents.DocumentError as error:
        raise Misconfigured("key 'headers' of the Secret is no YAML") from error
    if not isinstance(loaded, dict):
        raise Misconfigured("key 'headers' of the Secret must be a YAML mapping of names to values")
    headers = {str(name): str(value).strip() for name, value in loaded.items()}
    for name, value in headers.items():
        if not (name.isascii() and name.isprintable() and value.isprintable()):
            raise Misconfigured("key 'headers' of the Secret has control characters")
        for word in value.split():
            _register_long(word)
    return headers


def _register_long(text: str) -> None:
    if len(text) >= _SHORTEST_KEY:
        register(text)


async def _tls(provider: Provider, read_secret: ReadSecret) -> Tls | None:
    values = await _raw_values(
        provider, provider.spec.cert_secret_ref, "certSecretRef", read_secret
    )
    return tls_credentials(values)


async def _proxy(
    provider: Provider, secret: Mapping[str, str], read_secret: ReadSecret
) -> Proxy | None:
    """From proxySecretRef, else from the places where it was before."""
    values = await _text_values(
        provider, provider.spec.proxy_secret_ref, "proxySecretRef", read_secret
    )
    address = values.get("address") or secret.get("proxy") or provider.spec.proxy
    if not address:
        return None
    try:
        address, login = without_userinfo(address)
        scheme = urlsplit(address).scheme
    except ValueError as error:
        raise Misconfigured("the proxy's address is not a URL") from error
    if scheme not in {"http", "https"}:
        raise Misconfigured("the proxy's address must begin with http:// or https://")
    username = values.get("username", "")
    return Proxy(address, Basic(username, values.get("password", "")) if username else login)


def _timeout(provider: Provider) -> timedelta:
    text = provider.spec.timeout
    if not text:
        return TIMEOUT
    try:
        return parse_duration(text)
    except InvalidDurationError as error:
        raise Misconfigured(f"spec.timeout: {error}") from error
