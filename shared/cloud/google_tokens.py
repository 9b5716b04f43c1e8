"""Google Cloud: tokens of the controller or of a ServiceAccount, through google-auth.

A ServiceAccount of GKE is exchanged as GKE does it for pods: the API server's token for one of the
workload identity pool, and that for one of the Google service account in the annotation.
"""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import google.auth
from google.auth import identity_pool
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from requests import RequestException, Session

from shared.clock import Now
from shared.cloud.accounts import CloudAccount
from shared.cloud.tokens import CloudToken, IdentityError, TokenRequest
from shared.credentials import Basic, Bearer
from shared.redaction import register
from shared.web.wire import Wire
from shared.web.wired_requests import wired_session

GSA = "iam.gke.io/gcp-service-account"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TOKENS = "https://sts.googleapis.com/v1/token"
_IAM = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_EMAIL = re.compile(r"[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com")
_UNKNOWN_LIFE = timedelta(minutes=5)
_LONGEST = 500  # of a stranger's message


async def google_token(
    ask: TokenRequest, wire: Wire, direct: Wire, account: CloudAccount | None, now: Now
) -> CloudToken:
    """Raises IdentityError."""
    if account is None:
        bearer, expires_at = await direct.call(_refreshed, direct, _own_credentials, now)
    else:
        make = await _federated(account, direct)
        bearer, expires_at = await wire.call(_refreshed, wire, make, now)
    if ask.audience_kind == "registry":
        return CloudToken(Basic("oauth2accesstoken", bearer.token), expires_at)
    return CloudToken(bearer, expires_at)


def _refreshed(
    wire: Wire, credentials_with: Callable[[Request], Any], now: Now
) -> tuple[Bearer, datetime]:
    request = Request(wired_session(wire))
    try:
        credentials = credentials_with(request)
        credentials.refresh(request)
    except (GoogleAuthError, RequestException, ValueError, TypeError, KeyError) as error:
        problem = str(error.args[0] if error.args else error)[:_LONGEST]
        raise IdentityError(f"Google gives no token: {problem}") from error
    token: str = credentials.token
    register(token)
    expiry: datetime | None = credentials.expiry  # naive, in UTC
    return Bearer(token), expiry.replace(tzinfo=UTC) if expiry else now() + _UNKNOWN_LIFE


def _own_credentials(request: Request) -> Any:
    credentials, _ = google.auth.default(scopes=[SCOPE], request=request)
    return credentials


async def _federated(account: CloudAccount, direct: Wire) -> Callable[[Request], Any]:
    email = (await account.annotations()).get(GSA, "")
    if email and not _EMAIL.fullmatch(email):
        raise IdentityError(f"ServiceAccount {account.key}: {GSA} is no service account's address")
    pool, provider = await direct.call(_cluster_identity, wired_session(direct))
    token = await account.token(pool)

    def credentials(_request: Request) -> Any:
        return identity_pool.Credentials(
            audience=f"identitynamespace:{pool}:{provider}",
            subject_token_type=_JWT,
            token_url=_TOKENS,
            subject_token_supplier=_Supplier(token),
            service_account_impersonation_url=f"{_IAM}/{email}:generateAccessToken"
            if email
            else None,
            scopes=[SCOPE],
        )

    return credentials


def _cluster_identity(session: Session) -> tuple[str, str]:
    """The workload identity pool of this cluster, and the cluster, as the metadata server says."""
    host = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")

    def read(path: str) -> str:
        url = f"http://{host}/computeMetadata/v1/{path}"
        answer = session.get(url, headers={"Metadata-Flavor": "Google"})
        if answer.status_code != 200:
            raise IdentityError(f"Google's metadata server does not say {path}: is this GKE?")
        return answer.text.strip()

    project = read("project/project-id")
    location = read("instance/attributes/cluster-location")
    name = read("instance/attributes/cluster-name")
    cluster = f"projects/{project}/locations/{location}/clusters/{name}"
    return f"{project}.svc.id.goog", f"https://container.googleapis.com/v1/{cluster}"


class _Supplier(identity_pool.SubjectTokenSupplier):
    def __init__(self, token: str) -> None:
        self._token = token

    def get_subject_token(self, context: Any, request: Any) -> str:
        return self._token
