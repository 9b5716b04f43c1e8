"""AWS: keys of the controller or of a ServiceAccount's role, and what they are exchanged for."""

import base64
import binascii
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from shared.clock import Now
from shared.cloud.accounts import CloudAccount, require
from shared.cloud.audiences import matched, require_sts
from shared.cloud.aws_session import (
    AwsError,
    aws_errors,
    aws_keys,
    client,
    git_password,
    own_keys,
)
from shared.cloud.kept import Expiring
from shared.cloud.tokens import AwsKeys, CloudToken, IdentityError, TokenRequest, Where
from shared.credentials import Basic
from shared.redaction import register
from shared.web.wire import Wire

ROLE = "eks.amazonaws.com/role-arn"
AUDIENCE = "sts.amazonaws.com"
# botocore renews its own keys ten minutes before they expire.
OWN_KEYS_LAST = timedelta(minutes=10)
SIGNATURES_LAST = timedelta(minutes=10)
# As the cloud's own tools write them into a pod.
_OWN_ROLE, _OWN_TOKEN = "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"


async def aws_token(
    ask: TokenRequest, wire: Wire, account: CloudAccount | None, now: Now
) -> CloudToken:
    """Raises IdentityError."""
    place = matched(ask)
    keys = await (_role_keys(ask, wire, account) if account else _own_keys(ask, wire, now))
    match ask.audience_kind:
        case "storage":
            return CloudToken(keys.value, keys.expires_at)
        case "registry":
            region = place["region"] if place else None
            return await wire.call(_registry_login, wire, keys.value, region)
        case "git":
            return _git_login(keys, ask.url, place["region"] if place else "", now)


async def _own_keys(ask: TokenRequest, wire: Wire, now: Now) -> Expiring[AwsKeys]:
    role, token = os.environ.get(_OWN_ROLE), os.environ.get(_OWN_TOKEN)
    if ask.sts_endpoint and role and token:
        require_sts(ask.sts_endpoint)
        return await wire.call(_assume_own, wire, role, Path(token), ask.sts_endpoint)
    keys = await wire.call(_found_keys)
    return Expiring(keys, now() + OWN_KEYS_LAST)


def _assume_own(wire: Wire, role: str, token: Path, endpoint: str) -> Expiring[AwsKeys]:
    try:
        return _assume(wire, role, token.read_text().strip(), endpoint, "penstock-source")
    except OSError as error:
        raise IdentityError(f"{_OWN_TOKEN}: {error.strerror}") from error


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
    session = f"{account.key.namespace}.{account.key.name}"[:64]
    return await wire.call(_assume, wire, role, token, ask.sts_endpoint, session)


def _assume(wire: Wire, role: str, token: str, endpoint: str, session: str) -> Expiring[AwsKeys]:
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
        raise IdentityError(f"AWS refuses role {role!r} to {session}: {error}") from error


def _registry_login(wire: Wire, keys: AwsKeys, region: str | None) -> CloudToken:
    """`region` None: of the public registry, which has a service of its own."""
    try:
        with aws_errors():
            if region:
                registry: Any = client("ecr", wire, keys, Where(region))
                given = registry.get_authorization_token()["authorizationData"][0]
            else:
                registry = client("ecr-public", wire, keys, Where("us-east-1"))
                given = registry.get_authorization_token()["authorizationData"]
            return CloudToken(_login(given["authorizationToken"]), given["expiresAt"])
    except AwsError as error:
        raise IdentityError(f"AWS gives no login to its registry: {error}") from error


def _login(encoded: str) -> Basic:
    try:
        username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise IdentityError("AWS gave a registry token that is no login") from error
    register(encoded)
    register(password)
    return Basic(username, password)


def _git_login(keys: Expiring[AwsKeys], url: str, region: str, now: Now) -> CloudToken:
    moment = now()
    password = git_password(keys.value, region, url, moment)
    session = keys.value.session_token
    username = f"{keys.value.access_key}%{session}" if session else keys.value.access_key
    register(password)
    return CloudToken(Basic(username, password), min(keys.expires_at, moment + SIGNATURES_LAST))
