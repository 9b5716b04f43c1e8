"""Where a GitRepository's repository is, who we are there, and what its reference means now."""

from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from services.source.endings import FetchFailed, FetchStalled
from services.source.git.reference import Target, resolve
from services.source.git.refs import GitRefs, Remote
from services.source.referenced_secrets import (
    AUTHENTICATION_FAILED,
    ReferencedSecrets,
    unusable,
)
from services.source.web_client import may_share
from shared.credentials import (
    ANONYMOUS,
    Basic,
    HttpCredentials,
    InvalidCredentials,
    http_credentials,
    without_userinfo,
)
from shared.durations import InvalidDurationError, parse_duration
from shared.redaction import redact
from shared.resources.meta import NamespacedName
from shared.resources.source import GitRepository
from shared.unserved import UnsupportedField


class Upstream(NamedTuple):
    remote: Remote
    target: Target


class GitUpstreams:
    def __init__(self, secrets: ReferencedSecrets, refs: GitRefs) -> None:
        self._secrets = secrets
        self._refs = refs

    async def look(self, repository: GitRepository, *, fresh: bool) -> Upstream:
        """`fresh` reads the Secret again; so does a server that refuses what we remembered."""
        deadline = timeout_of(repository)
        remote = await self._remote(repository, fresh=fresh)
        try:
            target = await resolve(repository.spec.ref, remote, self._refs, deadline)
        except FetchFailed as error:
            if fresh or error.reason != AUTHENTICATION_FAILED:
                raise
            renewed = await self._remote(repository, fresh=True)
            if renewed == remote:
                raise
            remote = renewed
            target = await resolve(repository.spec.ref, remote, self._refs, deadline)
        return Upstream(remote, target)

    def place_of(self, remote: Remote) -> Remote:
        """Where to fetch from: redirects are followed already."""
        return self._refs.place_of(remote)

    async def beside(self, parent: Remote, url: str, deadline: timedelta) -> Remote:
        """Where another repository is, that this one's content names: a submodule.

        Its server hears our credentials only if it is the parent's server. Raises RefsError.
        """
        address, login = without_userinfo(url)
        if login:
            credentials = HttpCredentials(login)
        else:
            credentials = parent.credentials if may_share(parent.url, address) else ANONYMOUS
        remote = replace(parent, url=address, credentials=credentials)
        await self._refs.matching(remote, ["HEAD"], deadline)
        return self._refs.place_of(remote)

    async def _remote(self, repository: GitRepository, *, fresh: bool) -> Remote:
        url, login = _address(repository.spec.url)
        if repository.spec.secret_ref is None:
            return Remote(url, HttpCredentials(login) if login else ANONYMOUS)
        key = NamespacedName(repository.metadata.namespace, repository.spec.secret_ref.name)
        values = await self._secrets.values(key, fresh=fresh)
        try:
            return Remote(url, http_credentials(values))
        except InvalidCredentials as error:
            raise unusable(key, error) from error


def timeout_of(repository: GitRepository) -> timedelta:
    try:
        return parse_duration(repository.spec.timeout)
    except InvalidDurationError as error:
        raise FetchStalled(f"spec.timeout: {error}", reason="InvalidSpec") from error


def _address(url: str) -> tuple[str, Basic | None]:
    try:
        address, login = without_userinfo(url)
        parts = urlsplit(address)
        usable = parts.hostname and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        usable = False
    if not usable:
        raise FetchStalled(f"spec.url: {redact(repr(url))} is not a URL", reason="URLInvalid")
    if parts.scheme == "ssh":
        raise UnsupportedField(
            "spec.url: ssh is not served by this version of Penstock; use the https URL"
        )
    if parts.scheme not in ("http", "https"):
        raise FetchStalled(f"spec.url: {parts.scheme!r} is not http or https", reason="URLInvalid")
    return address, login
