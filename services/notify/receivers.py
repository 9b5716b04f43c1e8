"""A Receiver becomes reachable: its token is read, its path computed and put into its status."""

from collections.abc import Mapping
from typing import Any

from services.notify.receiver_types import TYPES, webhook_path
from services.notify.target import ReadSecret
from shared.credentials import secret_values
from shared.outcomes import Done, Failed, Stalled
from shared.redaction import register
from shared.resources.notification import Receiver
from shared.run import Run
from shared.unserved import UnsupportedField, refuse_unserved


class TokenNotFound(Failed):
    reason = "TokenNotFound"


class ValidationFailed(Stalled):
    reason = "ValidationFailed"


class ReceiverReconciler:
    def __init__(self, read_secret: ReadSecret) -> None:
        self._read_secret = read_secret

    async def reconcile(self, receiver: Receiver, run: Run) -> Done:
        run.note(status={"webhookPath": None})  # until there is a token that stands behind it
        require_served(receiver)
        token = await token_of(receiver, self._read_secret)
        path = webhook_path(token, receiver.metadata.name, receiver.metadata.namespace)
        run.event(
            "info",
            "Succeeded",
            f"Reconciliation finished, next run in {receiver.spec.interval}",
        )
        return Done(message=f"Receiver initialized for path: {path}", status={"webhookPath": path})

    async def finalize(self, receiver: Receiver, run: Run) -> None:
        """Nothing outside the object is ours."""


def require_served(receiver: Receiver) -> None:
    """Raises UnsupportedField for what this version would have to ignore."""
    spec = receiver.spec
    if spec.type not in TYPES:
        served = ", ".join(sorted(TYPES))
        raise UnsupportedField(
            f"spec.type: {spec.type} is not served by this version of Penstock; served are {served}"
        )
    refuse_unserved(
        receiver,
        {"resourceFilter": "filtering by expression", "oidcProviders": "OIDC authentication"},
    )
    for index, resource in enumerate(spec.resources):
        if resource.filter:
            raise UnsupportedField(
                f"spec.resources[{index}].filter: filtering by expression is not served by this "
                "version of Penstock; remove the field to have this Receiver reconciled"
            )


async def token_of(receiver: Receiver, read_secret: ReadSecret) -> str:
    """Raises TokenNotFound, or ValidationFailed when the spec names no Secret."""
    ref, namespace = receiver.spec.secret_ref, receiver.metadata.namespace
    if ref is None:
        raise ValidationFailed("spec.secretRef: required; name a Secret with the key token")
    secret: Mapping[str, Any] | None = await read_secret(namespace, ref.name)
    if secret is None:
        raise TokenNotFound(f"Secret {namespace}/{ref.name} does not exist; create it")
    try:
        token = secret_values(secret).get("token", b"").decode()
    except UnicodeDecodeError as error:
        raise TokenNotFound(f"key token of Secret {namespace}/{ref.name} is not text") from error
    if not token:
        raise TokenNotFound(f"Secret {namespace}/{ref.name} has no key token; add it")
    register(token)
    return token
