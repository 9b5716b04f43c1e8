"""Temporary S3 keys for a name and password that the object store's LDAP server knows.

The call is AssumeRoleWithLDAPIdentity, as MinIO and others serve it; keys are kept until shortly
before they expire.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlencode
from xml.etree import ElementTree

from services.source.endings import FetchFailed
from services.source.referenced_secrets import AUTHENTICATION_FAILED
from shared.clock import Now, now, parse_rfc3339
from shared.cloud.kept import Expiring, Kept
from shared.cloud.tokens import AwsKeys
from shared.credentials import HttpCredentials, Proxy, Tls
from shared.redaction import register
from shared.web.client import Request, WebClient, WebError

LARGEST_ANSWER = 64 * 1024
DEADLINE = timedelta(seconds=30)
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_CALL = {"Action": "AssumeRoleWithLDAPIdentity", "Version": "2011-06-15"}


@dataclass(frozen=True)
class LdapRequest:
    endpoint: str
    username: str
    password: str = field(repr=False)
    tls: Tls | None = None
    proxy: Proxy | None = None


class LdapTokens:
    def __init__(self, web: WebClient, now: Now = now) -> None:
        self._web = web
        self._kept: Kept[LdapRequest, AwsKeys] = Kept(now)

    async def keys(self, ask: LdapRequest, *, fresh: bool) -> AwsKeys:
        """Raises FetchFailed."""
        return await self._kept.get(ask, lambda: self._ask(ask), fresh=fresh)

    async def _ask(self, ask: LdapRequest) -> Expiring[AwsKeys]:
        form = {**_CALL, "LDAPUsername": ask.username, "LDAPPassword": ask.password}
        request = Request(
            url=ask.endpoint,
            limit=LARGEST_ANSWER,
            deadline=DEADLINE,
            credentials=HttpCredentials(tls=ask.tls),
            headers=_FORM,
            body=urlencode(form).encode(),
            proxy=ask.proxy,
        )
        try:
            answer = await self._web.fetch(request)
            return _credentials(answer.body)
        except (WebError, ValueError) as error:
            problem = f"the token service of spec.sts gave no keys: {error}"
            raise FetchFailed(problem, reason=AUTHENTICATION_FAILED) from error


def _credentials(answer: bytes) -> Expiring[AwsKeys]:
    """Raises ValueError for anything but the answer that is documented."""
    if b"<!" in answer:
        raise ValueError("an answer with declarations, which no token service sends")
    try:
        document = ElementTree.fromstring(answer)  # noqa: S314
    except ElementTree.ParseError as error:
        raise ValueError("an answer that is not XML") from error
    texts = {each.tag.rpartition("}")[2]: (each.text or "").strip() for each in document.iter()}
    wanted = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    access_key, secret_key, session_token = (texts.get(name, "") for name in wanted)
    register(secret_key)
    register(session_token)
    if not access_key or not secret_key:
        raise ValueError("an answer without AccessKeyId and SecretAccessKey")
    try:
        expires_at = parse_rfc3339(texts.get("Expiration", ""))
    except ValueError as error:
        raise ValueError("an answer without the time of Expiration") from error
    return Expiring(AwsKeys(access_key, secret_key, session_token), expires_at)
