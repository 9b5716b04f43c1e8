"""botocore's only door: clients whose requests go over a wire, and its errors in our words.

A client has the keys that it is given, or signs nothing: it never falls back on what the process
may be allowed. That is asked for by name, with `own_keys`.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from shared.cloud.tokens import AwsKeys, Where
from shared.redaction import register
from shared.web.wire import Wire

DEFAULT_REGION = "us-east-1"
_LONGEST = 500  # of a stranger's message
_making = threading.Lock()  # a session makes its clients from shared state
_searching = threading.Lock()
_REFUSALS = frozenset({401, 403})
# Refusals with another status; the last one is Versity's.
_REFUSED = frozenset({"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "XAdminUserNotFound"})

logging.getLogger("botocore").setLevel(logging.WARNING)  # it tells where it found keys


class AwsError(Exception):
    """The service refused, or did not answer as it should."""

    def __init__(self, message: str, *, code: str = "", status: int = 0) -> None:
        super().__init__(message[:_LONGEST])
        self.code = code
        self.status = status

    @property
    def refuses_us(self) -> bool:
        return self.status in _REFUSALS or self.code in _REFUSED


@cache
def _session() -> Any:
    return botocore.session.Session()


def client(service: str, wire: Wire, keys: AwsKeys | None, where: Where) -> Any:
    """From a thread."""
    style = {"addressing_style": "path" if where.path_style else "auto"}
    config = Config(
        s3=style,
        signature_version=None if keys else UNSIGNED,
        retries={"mode": "standard", "total_max_attempts": 3},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        parameter_validation=True,
    )
    with _making:
        made = _session().create_client(
            service,
            region_name=where.region or own_region(),
            endpoint_url=where.endpoint or None,
            config=config,
            aws_access_key_id=keys.access_key if keys else None,
            aws_secret_access_key=keys.secret_key if keys else None,
            aws_session_token=(keys.session_token or None) if keys else None,
        )
    made.meta.events.register("before-send", _over(wire))
    return made


def own_region() -> str:
    """As the environment of the process says; botocore itself knows the older name alone."""
    known = os.environ.get("AWS_REGION") or _session().get_config_variable("region")
    return str(known or DEFAULT_REGION)


def own_keys() -> AwsKeys | None:
    """What the process may use: its environment, its web identity, its node. From a thread."""
    with _searching:
        found = _session().get_credentials()
    if found is None:
        return None
    frozen = found.get_frozen_credentials()
    return aws_keys(frozen.access_key, frozen.secret_key, frozen.token or "")


def aws_keys(access_key: str, secret_key: str, session_token: str) -> AwsKeys:
    register(secret_key)
    register(session_token)
    return AwsKeys(access_key, secret_key, session_token)


def git_password(keys: AwsKeys, region: str, url: str, moment: datetime) -> str:
    """CodeCommit takes a signature of the repository's path for a password."""
    credentials = Credentials(keys.access_key, keys.secret_key, keys.session_token or None)
    signer = SigV4Auth(credentials, "codecommit", region)
    request = AWSRequest(method="GIT", url=url)
    request.context["timestamp"] = moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S")
    parts = urlsplit(url)
    canonical = f"GIT\n{parts.path}\n\nhost:{parts.hostname}\n\nhost\n"
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    return f"{request.context['timestamp']}Z{signature}"


@contextmanager
def aws_errors() -> Iterator[None]:
    """Whatever botocore raises inside becomes an AwsError."""
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = str(said.get("Code", ""))
        message = said.get("Message") or f"the server answered {status}"
        raise AwsError(f"{code}: {message}", code=code, status=status) from error
    except (BotoCoreError, HTTPError) as error:
        raise AwsError(str(error)) from error
    except (ResponseParserError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AwsError(f"an answer that cannot be read: {type(error).__name__}") from error


def _over(wire: Wire) -> Callable[..., AWSResponse]:
    """botocore lets a listener answer in place of its own HTTP client."""

    def send(request: Any, event_name: str, **_: Any) -> AWSResponse:
        answer = wire.send(
            request.method,
            request.url,
            request.headers,
            request.body,
            streamed=event_name.endswith(".GetObject"),
        )
        return AWSResponse(request.url, answer.status, answer.headers, answer)

    return send
