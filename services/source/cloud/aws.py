"""AWS: keys of the controller or of a ServiceAccount's role, and what they are exchanged for."""

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from services.source.cloud.accounts import CloudAccount, require
from services.source.cloud.aws_session import (
    AwsError,
    Where,
    aws_errors,
    aws_keys,
    client,
    git_password,
    own_keys,
)
from services.source.cloud.kept import Expiring
from services.source.cloud.tokens import AwsKeys, CloudToken, IdentityError, TokenRequest
from services.source.wire import Wire
from shared.clock import Now
from shared.credentials import Basic
from shared.redaction import register

ROLE = "eks.amazonaws.com/role-arn"
AUDIENCE = "sts.amazonaws.com"
# botocore renews its own keys ten minutes before they expire.
OWN_KEYS_LAST = timedelta(minutes=10)
SIGNATURES_LAST = timedelta(minutes=10)
_REGISTRY = re.compile(
    r"(\d{12})\.dkr[.-]ecr(?:-fips)?\.([a-z]{2,4}(?:-[a-z]+)+-\d)\."
    r"(?:amazonaws\.com(?:\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn)"
)
_PUBLIC_REGISTRY = "public.ecr.aws"
_GIT = re.compile(r"git-codecommit(?:-fips)?\.([a-z]{2,4}(?:-[a-z]+)+-\d)\.amazonaws\.com(?:\.cn)?")


async def aws_token(
    ask: TokenRequest, wire: Wire, account: CloudAccount | None, now: Now
) -> CloudToken:
    """Raises IdentityError."""
    keys = await (_role_keys(ask, wire, account) if account else _own_keys(wire, now))
    match ask.audience_kind:
        case "storage":
            return CloudToken(keys.value, keys.expires_at)
        case "registry":
            return await wire.call(_registry_login, wire, keys.value, ask.host)
        case "git":
            return _git_login(keys, ask, now)


async def _own_keys(wire: Wire, now: Now) -> Expiring[AwsKeys]:
    keys = await wire.call(_found_keys)
    return Expiring(keys, now() + OWN_KEYS_LAST)


def _found_keys() -> AwsKeys:
    try:
        with aws_errors():
            keys = own_keys()
    except AwsError as error:
        raise IdentityError(f"AWS gives the controller no keys: {error}") from error
    if keys is None:
        raise IdentityError("AWS: the controller has no identity; give it a role, or use a Secret")
    return keys


async def _role_keys(ask: TokenRequest, wire: Wire, account: CloudAccount) -> Expiring[AwsKeys]:
    role = require(await account.annotations(), ROLE, account.key)
    token = await account.token(AUDIENCE)
    return await wire.call(_assume, wire, role, token, ask.sts_endpoint, account)


def _assume(
    wire: Wire, role: str, token: str, endpoint: str, account: CloudAccount
) -> Expiring[AwsKeys]:
    session = re.sub(r"[^\w+=,.@-]", "-", f"{account.key.namespace}.{account.key.name}")[:64]
    try:
        with aws_errors():
            answer: Any = client(
                "sts", wire, None, Where(endpoint=endpoint)
            ).assume_role_with_web_identity(
                RoleArn=role, RoleSessionName=session, WebIdentityToken=token
            )["Credentials"]
            keys = aws_keys(
                answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"]
            )
            return Expiring(keys, answer["Expiration"])
    except AwsError as error:
        problem = f"AWS refuses role {role!r} to ServiceAccount {account.key}: {error}"
        raise IdentityError(problem) from error


def _registry_login(wire: Wire, keys: AwsKeys, host: str) -> CloudToken:
    private = _REGISTRY.fullmatch(host)
    if not private and host != _PUBLIC_REGISTRY:
        raise IdentityError(f"{host!r} is no registry of AWS; use another provider")
    try:
        with aws_errors():
            if private:
                registry: Any = client("ecr", wire, keys, Where(private[2]))
                given = registry.get_authorization_token()["authorizationData"][0]
            else:
                registry = client("ecr-public", wire, keys, Where("us-east-1"))
                given = registry.get_authorization_token()["authorizationData"]
            return CloudToken(_login(given["authorizationToken"]), given["expiresAt"])
    except AwsError as error:
        raise IdentityError(f"AWS gives no login to {host}: {error}") from error


def _login(encoded: str) -> Basic:
    try:
        username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise IdentityError("AWS gave a registry token that is no login") from error
    register(encoded)
    register(password)
    return Basic(username, password)


def _git_login(keys: Expiring[AwsKeys], ask: TokenRequest, now: Now) -> CloudToken:
    matched = _GIT.fullmatch(ask.host)
    if not matched or not ask.url.startswith("https://"):
        raise IdentityError(f"{ask.host!r} is no https address of CodeCommit; use another provider")
    moment: datetime = now().astimezone(UTC)
    password = git_password(keys.value, matched[1], ask.url, moment)
    session = keys.value.session_token
    username = f"{keys.value.access_key}%{session}" if session else keys.value.access_key
    register(password)
    return CloudToken(Basic(username, password), min(keys.expires_at, moment + SIGNATURES_LAST))
