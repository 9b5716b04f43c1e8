"""Helm charts made from dicts, packed as `helm package` packs them."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from typing import Any

import yaml


def a_chart(
    name: str = "shop",
    version: str = "1.0.0",
    *,
    values: dict[str, Any] | None = None,
    templates: Mapping[str, str | dict[str, Any]] | None = None,
    crds: Mapping[str, dict[str, Any]] | None = None,
    files: Mapping[str, str] | None = None,
    **metadata: Any,
) -> bytes:
    """The packed chart. Templates are text with Helm's markup, or objects without any."""
    described = {"apiVersion": "v2", "name": name, "version": version, **metadata}
    content = {
        "Chart.yaml": yaml.safe_dump(described),
        "values.yaml": yaml.safe_dump(values or {}),
        **{f"templates/{path}": _text(template) for path, template in (templates or {}).items()},
        **{f"crds/{path}": _text(crd) for path, crd in (crds or {}).items()},
        **(files or {}),
    }
    return packed({f"{name}/{path}": text for path, text in content.items()})


def packed(files: dict[str, str]) -> bytes:
    """The same files give the same bytes."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for path, text in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(tar.getvalue(), mtime=0)


def a_config_map(name: str, **data: str) -> str:
    """A template; values of `data` may be markup."""
    lines = "".join(f"  {key}: {value}\n" for key, value in data.items())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n{lines}"


def a_hook(
    name: str, events: str, *, weight: int = 0, policy: str = "", fails: bool = False
) -> dict[str, Any]:
    """A Job that runs at these events of a release; one that fails does so after a second."""
    annotations = {"helm.sh/hook": events, "helm.sh/hook-weight": str(weight)}
    if policy:
        annotations["helm.sh/hook-delete-policy"] = policy
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "containers": [{"name": "work", "image": "work"}],
    }
    spec: dict[str, Any] = {"backoffLimit": 0, "template": {"spec": pod}}
    if fails:
        pod["nodeSelector"] = {"no-node": "has-this"}
        spec["activeDeadlineSeconds"] = 1
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "annotations": annotations},
        "spec": spec,
    }


def _text(content: str | dict[str, Any]) -> str:
    return content if isinstance(content, str) else yaml.safe_dump(content)
