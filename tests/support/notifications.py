"""Events, Alerts, Providers and Receivers as tests need them: only what the test is about."""

from typing import Any

from shared.messages import EventPayload, InvolvedObject
from shared.resources.notification import Alert, Provider, Receiver

GROUP = "kustomize.toolkit.fluxcd.io"


def an_event(
    message: str = "applied",
    *,
    severity: str = "info",
    name: str = "shop",
    namespace: str = "team-a",
    kind: str = "Kustomization",
    metadata: dict[str, str] | None = None,
) -> EventPayload:
    return EventPayload(
        involved_object=InvolvedObject(
            kind=kind,
            namespace=namespace,
            name=name,
            uid="u-shop",
            api_version=f"{GROUP}/v1",
            resource_version="7",
        ),
        severity=severity,
        timestamp="2026-01-02T03:04:05Z",
        message=message,
        reason="ReconciliationSucceeded",
        metadata=metadata or {},
        reporting_controller="kustomize-controller",
        reporting_instance="kustomize-0",
    )


def a_source(kind: str = "Kustomization", name: str = "*", **more: Any) -> dict[str, Any]:
    return {"kind": kind, "name": name, **more}


def an_alert(name: str = "all", namespace: str = "team-a", **spec: Any) -> Alert:
    given = {"providerRef": {"name": "chat"}, "eventSources": [a_source()], **spec}
    metadata = {"name": name, "namespace": namespace, "uid": f"u-{name}", "generation": 1}
    return Alert.from_object({"metadata": metadata, "spec": given})


def a_provider(name: str = "chat", namespace: str = "team-a", **spec: Any) -> Provider:
    given = {"type": "generic", "address": "http://127.0.0.1:9/", **spec}
    metadata = {"name": name, "namespace": namespace, "uid": f"u-{name}", "generation": 1}
    return Provider.from_object({"metadata": metadata, "spec": given})


def a_receiver(name: str = "hook", namespace: str = "team-a", **spec: Any) -> Receiver:
    given = {
        "type": "generic",
        "secretRef": {"name": "token"},
        "resources": [{"kind": "GitRepository", "name": "shop"}],
        **spec,
    }
    metadata = {"name": name, "namespace": namespace, "uid": f"u-{name}", "generation": 1}
    return Receiver.from_object({"metadata": metadata, "spec": given})
