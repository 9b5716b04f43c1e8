"""What can go wrong at the API server, as endings of a run.

A missing object is not an error: reads answer None, deletes answer False. Everything else is
`Failed`, so that a run that meets it is tried again; callers catch a subclass only where they can
do better.
"""

from datetime import timedelta

import msgspec

from shared.outcomes import Failed


class ApiError(Failed):
    """The API server refused a request, or could not be asked; `answer` is its own words."""

    def __init__(
        self,
        message: str,
        *,
        status_code: int = 0,
        api_reason: str = "",
        answer: str = "",
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.answer = answer or message
        self.status_code = status_code
        self.api_reason = api_reason


class NotFound(ApiError): ...


class Conflict(ApiError): ...


class AlreadyExists(Conflict): ...


class Forbidden(ApiError):
    """Also what an API server answers to everybody in its first second, before it knows roles."""

    may_pass = True


class Unauthorized(ApiError): ...


class Gone(ApiError):
    """The resourceVersion asked for is too old: list again."""


class Invalid(ApiError):
    """The object is wrong (400 and 422), whatever the moment it is sent."""


class TooManyRequests(ApiError):
    may_pass = True


class Unreachable(ApiError):
    """No answer: refused, reset, timed out, or a 5xx of the server itself."""

    may_pass = True


class UnknownKind(ApiError):
    """No served API has this kind (its CRD may come later)."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: TooManyRequests,
}


# How server-side apply says that an object does not fit its schema: as an error of the server.
_TYPED_PATCH = "failed to create typed patch object"


class _Status(msgspec.Struct):
    """The fields of metav1.Status that we read."""

    message: str = ""
    reason: str = ""


def api_error(status_code: int, body: bytes, *, what: str, retry_after: str = "") -> ApiError:
    """The error behind a refused request; `what` says which request, for the message."""
    try:
        status = msgspec.json.decode(body, type=_Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        status = _Status(message=f"the API server answered {status_code}")
    if status.reason == "AlreadyExists":
        kind: type[ApiError] = AlreadyExists
    elif status.reason == "Expired":
        kind = Gone
    elif status_code == 500 and _TYPED_PATCH in status.message:
        kind = Invalid
    else:
        kind = _BY_STATUS.get(status_code, Unreachable if status_code >= 500 else ApiError)
    return kind(
        f"{what}: {status.message}" if status.message else f"{what}: HTTP {status_code}",
        status_code=status_code,
        api_reason=status.reason,
        answer=status.message,
        retry_after=timedelta(seconds=int(retry_after)) if retry_after.isdigit() else None,
    )
