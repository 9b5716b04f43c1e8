"""Downloads from a Helm repository, as whoever its Secrets say we are.

The login goes to the repository's own host and to no other, unless `passCredentials` says so.
"""

from collections.abc import Mapping
from typing import BinaryIO, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from services.source.endings import FetchFailed, FetchStalled
from services.source.referenced_secrets import (
    AUTHENTICATION_FAILED,
    ReferencedSecrets,
    unusable,
)
from services.source.timeouts import timeout_of
from shared.credentials import (
    ANONYMOUS,
    Basic,
    HttpCredentials,
    InvalidCredentials,
    Tls,
    http_credentials,
    tls_credentials,
    without_userinfo,
)
from shared.redaction import shown_address
from shared.resources.meta import NamespacedName
from shared.resources.source import HelmRepository
from shared.web.client import Answer, Request, WebClient, WebError, may_share

_NO_HEADERS: Mapping[str, str] = {}


class Download(NamedTuple):
    """`into`: the file that the body goes to, instead of into memory."""

    url: str
    limit: int
    headers: Mapping[str, str] = _NO_HEADERS
    into: BinaryIO | None = None


class HelmDownloads:
    def __init__(self, secrets: ReferencedSecrets, web: WebClient) -> None:
        self._secrets = secrets
        self._web = web

    async def get(self, repository: HelmRepository, wanted: Download, *, fresh: bool) -> Answer:
        """`fresh` reads the Secrets again; so does a server that refuses what we remembered."""
        credentials = await self._credentials(repository, fresh=fresh)
        try:
            return await self._fetch(repository, wanted, credentials)
        except FetchFailed as error:
            if fresh or error.reason != AUTHENTICATION_FAILED:
                raise
            renewed = await self._credentials(repository, fresh=True)
            if renewed == credentials:
                raise
        return await self._fetch(repository, wanted, renewed)

    async def _fetch(
        self, repository: HelmRepository, wanted: Download, credentials: HttpCredentials
    ) -> Answer:
        everywhere = repository.spec.pass_credentials
        if not everywhere and not may_share(repository.spec.url, wanted.url):
            credentials = HttpCredentials(tls=credentials.tls)
        request = Request(
            url=wanted.url,
            limit=wanted.limit,
            deadline=timeout_of(repository),
            credentials=credentials,
            headers=wanted.headers,
            everywhere=everywhere,
        )
        try:
            if wanted.into:
                return await self._web.download(request, wanted.into)
            return await self._web.fetch(request)
        except WebError as error:
            reason = AUTHENTICATION_FAILED if error.refuses_us else "Failed"
            raise FetchFailed(f"failed to fetch {error}", reason=reason) from error

    async def _credentials(self, repository: HelmRepository, *, fresh: bool) -> HttpCredentials:
        _, login = address_of(repository)
        known = HttpCredentials(login) if login else ANONYMOUS
        spec, namespace = repository.spec, repository.metadata.namespace
        if spec.secret_ref:
            known = await self._login(NamespacedName(namespace, spec.secret_ref.name), fresh=fresh)
        if spec.cert_secret_ref:
            key = NamespacedName(namespace, spec.cert_secret_ref.name)
            known = HttpCredentials(known.login, await self._tls(key, fresh=fresh))
        return known

    async def _login(self, key: NamespacedName, *, fresh: bool) -> HttpCredentials:
        values = await self._secrets.values(key, fresh=fresh)
        try:
            return http_credentials(values)
        except InvalidCredentials as error:
            raise unusable(key, error) from error

    async def _tls(self, key: NamespacedName, *, fresh: bool) -> Tls:
        values = await self._secrets.values(key, fresh=fresh)
        try:
            tls = tls_credentials(values)
        except InvalidCredentials as error:
            raise unusable(key, error) from error
        if tls is None:
            raise unusable(key, InvalidCredentials("it has neither ca.crt nor tls.crt and tls.key"))
        return tls


def address_of(repository: HelmRepository) -> tuple[str, Basic | None]:
    """The URL without the login that was inside it, and that login."""
    url = repository.spec.url
    try:
        address, login = without_userinfo(url)
        parts = urlsplit(address)
        host = parts.hostname if parts.port != 0 and url.isprintable() and " " not in url else None
    except ValueError:
        address, login, host = "", None, None
    if not address.startswith(("http://", "https://")) or not host or host.startswith("-"):
        shown = shown_address(url)
        remedy = "; an oci:// URL needs spec.type oci" if url.startswith("oci://") else ""
        problem = f"spec.url: {shown} is not an http or https URL{remedy}"
        raise FetchStalled(problem, reason="URLInvalid")
    return address, login


def below(address: str, path: str) -> str:
    """A file of the repository, also when the address ends in a query."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{path}"))
