"""The five shapes that a Secret for Azure may have; the first one that is complete is taken."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote

from shared.cloud.tokens import (
    Application,
    ClientCertificate,
    ClientSecret,
    ManagedIdentity,
)
from shared.credentials import InvalidCredentials, secret_lines, secret_text
from shared.redaction import register

Values: TypeAlias = Mapping[str, bytes]


@dataclass(frozen=True, repr=False)
class AccountKey:
    key: str


@dataclass(frozen=True, repr=False)
class SasKey:
    token: str


AzureLogin: TypeAlias = Application | AccountKey | SasKey


def azure_login(values: Values) -> AzureLogin:
    authority = _public(values, "authorityHost")
    tenant, client = _public(values, "tenantId"), _public(values, "clientId")
    if tenant and client and values.get("clientSecret"):
        secret = secret_lines(values, "clientSecret")[0]
        return ClientSecret(tenant, client, secret, authority)
    if tenant and client and values.get("clientCertificate"):
        return ClientCertificate(
            tenant,
            client,
            secret_text(values, "clientCertificate"),
            secret_lines(values, "clientCertificatePassword")[0]
            if values.get("clientCertificatePassword")
            else "",
            send_chain=_public(values, "clientCertificateSendChain") in ("1", "true"),
            authority=authority,
        )
    return _without_tenant(values, client)


def _without_tenant(values: Values, client: str) -> AzureLogin:
    if client:
        return ManagedIdentity(client)
    if values.get("accountKey"):
        return AccountKey(_account_key(values))
    if values.get("sasKey"):
        return SasKey(_sas(values))
    raise InvalidCredentials(
        "the Secret needs tenantId and clientId with clientSecret or clientCertificate, or "
        "clientId alone, or accountKey, or sasKey"
    )


def _account_key(values: Values) -> str:
    key = secret_lines(values, "accountKey")[0]
    try:
        base64.b64decode(key, validate=True)
    except binascii.Error as error:
        raise InvalidCredentials("key 'accountKey' of the Secret is not base64") from error
    return key


def _sas(values: Values) -> str:
    """Hidden are the whole and its signature: errors quote URLs in parts."""
    token = secret_lines(values, "sasKey")[0].removeprefix("?")
    for parameter in token.split("&"):
        if parameter.startswith("sig="):
            signature = parameter.removeprefix("sig=")
            register(signature)
            register(unquote(signature))
    return token


def _public(values: Values, name: str) -> str:
    try:
        return values.get(name, b"").decode().strip()
    except UnicodeDecodeError as error:
        raise InvalidCredentials(f"key {name!r} of the Secret is not text") from error
