"""Azure: tokens of Entra, for storage, Git and registries.

The only door to azure-identity.
"""

import base64
import binascii
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never
from urllib.parse import urlencode

import orjson
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import (
    CertificateCredential,
    ClientAssertionCredential,
    ClientSecretCredential,
    DefaultAzureCredential,
    ManagedIdentityCredential,
)

from shared.clock import Now
from shared.cloud.accounts import CloudAccount, require
from shared.cloud.audiences import matched
from shared.cloud.kept import Expiring
from shared.cloud.tokens import (
    Application,
    ClientCertificate,
    ClientSecret,
    CloudToken,
    IdentityError,
    ManagedIdentity,
    TokenRequest,
)
from shared.credentials import Basic, Bearer
from shared.redaction import register
from shared.web.wire import Wire
from shared.web.wired_requests import wired_session

CLIENT = "azure.workload.identity/client-id"
TENANT = "azure.workload.identity/tenant-id"
AUDIENCE = "api://AzureADTokenExchange"
STORAGE = "https://storage.azure.com/.default"
DEVOPS = "499b84ac-1321-427f-aa17-267ca6975798/.default"
# Management's own address depends on the cloud, and a registry belongs to one.
MANAGEMENT = {
    ".azurecr.io": "https://management.azure.com/.default",
    ".azurecr.us": "https://management.usgovcloudapi.net/.default",
    ".azurecr.cn": "https://management.chinacloudapi.cn/.default",
}
_NOBODY = "00000000-0000-0000-0000-000000000000"  # the name of whoever has a registry's token
_REGISTRY_TOKENS_LAST = timedelta(hours=1)  # at least; three as documented
_LONGEST = 500  # of a stranger's message

logging.getLogger("azure").setLevel(logging.CRITICAL)  # it tells of each request and refusal


async def azure_token(
    ask: TokenRequest, wire: Wire, direct: Wire, account: CloudAccount | None, now: Now
) -> CloudToken:
    """Raises IdentityError."""
    scope = _scope(ask)
    if account is None:
        known = await direct.call(_token, lambda: _own_credential(direct), scope)
    else:
        known = await _federated(account, wire, scope)
    if ask.audience_kind == "registry":
        return await wire.call(_exchange, wire, ask.host, known.value, now)
    return CloudToken(known.value, known.expires_at)


async def application_token(application: Application, wire: Wire) -> Expiring[Bearer]:
    """For the storage service. Raises IdentityError."""
    return await wire.call(_token, lambda: _credential(application, wire), STORAGE)


async def _federated(account: CloudAccount, wire: Wire, scope: str) -> Expiring[Bearer]:
    annotations = await account.annotations()
    client = require(annotations, CLIENT, account.key)
    tenant = annotations.get(TENANT) or os.environ.get("AZURE_TENANT_ID", "")
    tenant = tenant or require(annotations, TENANT, account.key)
    assertion = await account.token(AUDIENCE)

    def credential() -> Any:
        return ClientAssertionCredential(tenant, client, lambda: assertion, **_options(wire))

    return await wire.call(_token, credential, scope)


def _token(credential: Callable[[], Any], scope: str) -> Expiring[Bearer]:
    try:
        given = credential().get_token(scope)
    except (AzureError, ValueError, TypeError, KeyError) as error:
        problem = str(error).partition("\n")[0][:_LONGEST]
        raise IdentityError(f"Azure gives no token: {problem}") from error
    register(given.token)
    return Expiring(Bearer(given.token), datetime.fromtimestamp(given.expires_on, UTC))


def _own_credential(wire: Wire) -> Any:
    """As the environment of the process says, or the node: no tools, no caches of people."""
    return DefaultAzureCredential(
        exclude_cli_credential=True,
        exclude_developer_cli_credential=True,
        exclude_powershell_credential=True,
        exclude_shared_token_cache_credential=True,
        exclude_visual_studio_code_credential=True,
        exclude_interactive_browser_credential=True,
        exclude_broker_credential=True,
        **_options(wire),
    )


def _credential(application: Application, wire: Wire) -> Any:
    options = _options(wire)
    match application:
        case ClientSecret(tenant, client, secret, authority):
            return ClientSecretCredential(tenant, client, secret, **_at(authority), **options)
        case ClientCertificate():
            return CertificateCredential(
                application.tenant,
                application.client,
                certificate_data=application.certificate.encode(),
                password=application.password or None,
                send_certificate_chain=application.send_chain,
                **_at(application.authority),
                **options,
            )
        case ManagedIdentity(client):
            return ManagedIdentityCredential(client_id=client, **options)
        case _:
            assert_never(application)


def _options(wire: Wire) -> dict[str, Any]:
    transport = RequestsTransport(session=wired_session(wire), session_owner=False)
    return {"transport": transport, "disable_instance_discovery": True, "retry_total": 2}


def _at(authority: str) -> dict[str, str]:
    return {"authority": authority} if authority else {}


def _scope(ask: TokenRequest) -> str:
    place = matched(ask)
    match ask.audience_kind:
        case "storage":
            return STORAGE
        case "git":
            return DEVOPS
        case "registry":
            return MANAGEMENT[place["suffix"] if place else ""]


def _exchange(wire: Wire, host: str, token: Bearer, now: Now) -> CloudToken:
    """A token of Entra for one of the registry."""
    form = {"grant_type": "access_token", "service": host, "access_token": token.token}
    answer = wired_session(wire).post(
        f"https://{host}/oauth2/exchange",
        data=urlencode(form),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    if answer.status_code != 200:
        raise IdentityError(f"{host} gives no token: it answered {answer.status_code}")
    try:
        refresh: str = orjson.loads(answer.content)["refresh_token"]
    except (ValueError, KeyError, TypeError) as error:
        raise IdentityError(f"{host} gives no token: an answer without refresh_token") from error
    register(refresh)
    return CloudToken(Basic(_NOBODY, refresh), _expiry(refresh) or now() + _REGISTRY_TOKENS_LAST)


def _expiry(token: str) -> datetime | None:
    """As the token itself says; only to know when to ask again."""
    try:
        claims = token.split(".")[1]
        seconds = orjson.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
        return datetime.fromtimestamp(int(seconds), UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError, binascii.Error):
        return None
