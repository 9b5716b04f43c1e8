"""What goes wrong on the way to a provider, told on the Alert that asked for it."""

from collections.abc import Callable
from typing import Any, Final

from shared.messages import AlertRef
from shared.resources.meta import LocalObjectReference, NamespacedName, ObjectMeta, Resource
from shared.resources.notification import Alert, AlertSpec
from shared.run import Recorder

DISPATCH_FAILED: Final = "NotificationDispatchFailed"


class Reports:
    def __init__(
        self, recorder: Recorder, alert_at: Callable[[NamespacedName], Alert | None]
    ) -> None:
        self._recorder = recorder
        self._alert_at = alert_at

    def warn(self, resource: Resource[Any, Any], reason: str, message: str) -> None:
        self._recorder.record(resource, "error", reason, message, {})

    def dispatch_failed(self, ref: AlertRef, message: str) -> None:
        """Also when the Alert is gone meanwhile: its events may be all that is left to read."""
        key = NamespacedName(ref.namespace, ref.name)
        self.warn(self._alert_at(key) or _remembered(ref), DISPATCH_FAILED, message)


def _remembered(ref: AlertRef) -> Alert:
    metadata = ObjectMeta(name=ref.name, namespace=ref.namespace, uid=ref.uid)
    return Alert(metadata=metadata, spec=AlertSpec(provider_ref=LocalObjectReference(name="")))
