"""The manifests of deploy/, built by the stock kustomize program."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from penstock.toolchain import binary

DEPLOY = Path(__file__).parents[2] / "deploy"
BASE, PRODUCTION = "base", "overlays/production"
SERVICES = {
    "source-controller": "source",
    "kustomize-controller": "kustomize",
    "helm-controller": "helm",
    "notification-controller": "notify",
}
Manifest = dict[str, Any]


@cache
def _output(folder: str) -> bytes:
    command = [str(binary("kustomize")), "build", str(DEPLOY / folder)]
    built = subprocess.run(command, capture_output=True, check=False)
    assert built.returncode == 0, built.stderr.decode()
    assert not built.stderr, built.stderr.decode()
    return built.stdout


def built(folder: str = BASE) -> list[Manifest]:
    return list(yaml.load_all(_output(folder), yaml.CSafeLoader))


def of_kind(kind: str, folder: str = BASE) -> dict[str, Manifest]:
    """By name."""
    return {m["metadata"]["name"]: m for m in built(folder) if m["kind"] == kind}


def pods(folder: str = BASE) -> dict[str, Manifest]:
    """The pod templates of Deployments and StatefulSets, by the name of the workload."""
    workloads = of_kind("Deployment", folder) | of_kind("StatefulSet", folder)
    return {name: workload["spec"]["template"] for name, workload in workloads.items()}


def container(pod: Manifest) -> Manifest:
    (only,) = pod["spec"]["containers"]
    return dict(only)


def ports(pod: Manifest) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container(pod)["ports"]}


def environment(pod: Manifest) -> dict[str, Manifest]:
    return {variable["name"]: variable for variable in container(pod)["env"]}
