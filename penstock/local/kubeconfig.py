"""Reads and writes kubeconfig files: one cluster, one user, one context."""

import base64
from pathlib import Path
from typing import Any

import yaml

from penstock.local.private_files import write_private


class UnusableKubeconfig(Exception):
    """The file has no current context, or one that leads nowhere."""


def cluster_entry(server: str, authority: bytes) -> dict[str, Any]:
    return {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}


def current_cluster(path: Path) -> dict[str, Any]:
    """The cluster that the file's current context leads to, free of relative paths."""
    try:
        content = yaml.safe_load(path.read_text())
        context = _named(content["contexts"], content["current-context"])["context"]
        cluster: dict[str, Any] = dict(_named(content["clusters"], context["cluster"])["cluster"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise UnusableKubeconfig(
            f"{path}: no cluster behind its current context ({error!r}); "
            "see `kubectl config get-contexts`"
        ) from error
    if authority := cluster.get("certificate-authority"):
        cluster["certificate-authority"] = str(path.absolute().parent / authority)
    return cluster


def write_kubeconfig(path: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    """`user` is what the format allows there, e.g. {"token": …} or {"tokenFile": …}."""
    name = "penstock"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    return write_private(path, yaml.safe_dump(content))


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)
