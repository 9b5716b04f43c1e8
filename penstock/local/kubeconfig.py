"""Writes kubeconfig files: one cluster, one user, one context."""

import base64
from pathlib import Path
from typing import Any

import yaml

from penstock.local.private_files import write_private


def write_kubeconfig(
    path: Path, *, server: str, authority: bytes, user: dict[str, Any], name: str = "penstock"
) -> Path:
    """`user` is what the format allows there, e.g. {"token": …} or {"tokenFile": …}."""
    cluster = {
        "server": server,
        "certificate-authority-data": base64.b64encode(authority).decode(),
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    return write_private(path, yaml.safe_dump(content))
