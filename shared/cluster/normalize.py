"""A manifest as people write it, made into one that can be applied again and again.

Server-side apply needs list keys that people leave out (a port's protocol), refuses what only the
server may say (status, managedFields), and keeps fields that older tools wrote about themselves.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Any

from shared.cluster.objects import Manifest

LEGACY_ANNOTATIONS = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "kustomize.toolkit.fluxcd.io/checksum",
    "fluxcd.io/sync-checksum",
)
LEGACY_LABELS = ("fluxcd.io/sync-gc-mark",)
_SERVERS_OWN = (
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "selfLink",
    "creationTimestamp",
    "deletionTimestamp",
)
_POD_TEMPLATES = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"})


def normalize(manifest: Manifest) -> Manifest:
    """A changed copy; what it shares with the original is not changed."""
    result = {key: value for key, value in manifest.items() if key != "status"}
    result["metadata"] = _metadata(manifest["metadata"])
    match manifest["kind"]:
        case "Secret" if manifest["apiVersion"] == "v1":
            _encode_secret(result)
        case "Service" if manifest["apiVersion"] == "v1":
            result["spec"] = _with_protocols(result.get("spec"), ("ports",))
        case "CustomResourceDefinition":
            _drop_broken_ca(result)
        case _:
            _name_protocols(result)
    return result


def _metadata(metadata: Any) -> dict[str, Any]:
    cleaned = {key: value for key, value in metadata.items() if key not in _SERVERS_OWN}
    for field, legacy in (("annotations", LEGACY_ANNOTATIONS), ("labels", LEGACY_LABELS)):
        held = cleaned.pop(field, None)
        kept = {key: value for key, value in (held or {}).items() if key not in legacy}
        if kept:
            cleaned[field] = kept
    return cleaned


def _encode_secret(secret: Manifest) -> None:
    plain = secret.pop("stringData", None)
    if plain:
        encoded = {
            key: base64.b64encode(value.encode()).decode() if isinstance(value, str) else value
            for key, value in plain.items()
        }
        secret["data"] = {**(secret.get("data") or {}), **encoded}


def broken_keys(secret: Manifest) -> list[str]:
    """Keys whose value the API server would refuse, which it does by repeating the value."""
    data = secret.get("data") or {}
    if not isinstance(data, dict):
        return ["data"]
    return [f"data.{key}" for key, value in data.items() if not _is_base64(value)]


def _is_base64(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, str):
        return False
    try:
        # Line breaks are the one liberty that Kubernetes' decoder takes.
        base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _name_protocols(manifest: Manifest) -> None:
    path = _pod_spec_path(manifest)
    if path is None or not isinstance(manifest.get(path[0]), dict):
        return
    holder = manifest
    for field in path:
        inner = holder.get(field)
        if not isinstance(inner, dict):
            return
        holder[field] = dict(inner)
        holder = holder[field]
    for field in ("containers", "initContainers"):
        containers = holder.get(field)
        if isinstance(containers, list):
            holder[field] = [_with_protocols(each, ("ports",)) for each in containers]


def _pod_spec_path(manifest: Manifest) -> tuple[str, ...] | None:
    group, kind = manifest["apiVersion"].rpartition("/")[0], manifest["kind"]
    if (group, kind) == ("", "Pod"):
        return ("spec",)
    if (group, kind) == ("batch", "CronJob"):
        return ("spec", "jobTemplate", "spec", "template", "spec")
    if group in ("apps", "batch") and kind in _POD_TEMPLATES:
        return ("spec", "template", "spec")
    return None


def _with_protocols(holder: Any, fields: Iterable[str]) -> Any:
    if not isinstance(holder, dict):
        return holder
    result = dict(holder)
    for field in fields:
        if isinstance(result.get(field), list):
            result[field] = [
                {"protocol": "TCP", **port} if isinstance(port, dict) else port
                for port in result[field]
            ]
    return result


def _drop_broken_ca(definition: Manifest) -> None:
    """An empty or invalid bundle (a placeholder for an injector) makes the whole CRD invalid."""
    conversion = (definition.get("spec") or {}).get("conversion") or {}
    config = (conversion.get("webhook") or {}).get("clientConfig") or {}
    if "caBundle" not in config or _is_certificate(config["caBundle"]):
        return
    kept = {key: value for key, value in config.items() if key != "caBundle"}
    webhook = {**conversion["webhook"], "clientConfig": kept}
    definition["spec"] = {**definition["spec"], "conversion": {**conversion, "webhook": webhook}}


def _is_certificate(bundle: Any) -> bool:
    try:
        return b"-----BEGIN CERTIFICATE-----" in base64.b64decode(bundle, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return False
