"""What the measurements put into Git and into the cluster."""

from typing import Any

import yaml

from shared.cluster.objects import Manifest

NAMESPACE = "bench"
SOURCE = "source.toolkit.fluxcd.io/v1"
KUSTOMIZE = "kustomize.toolkit.fluxcd.io/v1"
NOTIFICATION = "notification.toolkit.fluxcd.io/v1"


def application(name: str, image: str) -> dict[str, str]:
    """Four objects in a folder of their own: ServiceAccount, ConfigMap, Service, Deployment."""
    labels = {"app": name}
    container = {"name": "app", "image": image, "ports": [{"containerPort": 8080}]}
    template = {
        "metadata": {"labels": labels},
        "spec": {"serviceAccountName": name, "containers": [container]},
    }
    objects: list[Manifest] = [
        an_object("v1", "ServiceAccount", name),
        an_object("v1", "ConfigMap", name, data={"setting": "value"}),
        an_object("v1", "Service", name, spec={"selector": labels, "ports": [{"port": 80}]}),
        an_object(
            "apps/v1",
            "Deployment",
            name,
            spec={"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        ),
    ]
    return {f"{name}/{name}.yaml": yaml.safe_dump_all(objects)}


def git_repository(name: str, url: str) -> Manifest:
    spec = {"interval": "1m", "url": url, "ref": {"branch": "main"}}
    return an_object(SOURCE, "GitRepository", name, spec=spec)


def kustomization(name: str, source: str, path: str, **spec: Any) -> Manifest:
    return an_object(
        KUSTOMIZE,
        "Kustomization",
        name,
        spec={
            "interval": "1m",
            "timeout": "2m",
            "path": path,
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": source},
            **spec,
        },
    )


def receiver(name: str, source: str) -> list[Manifest]:
    spec = {
        "type": "generic",
        "secretRef": {"name": name},
        "resources": [{"kind": "GitRepository", "name": source}],
    }
    return [
        an_object("v1", "Secret", name, stringData={"token": "a-token-of-the-bench"}),
        an_object(NOTIFICATION, "Receiver", name, spec=spec),
    ]


def an_object(api_version: str, kind: str, name: str, **body: Any) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}
