"""The four services as child processes, set up by their environment as their pods are."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.local.parts import NAMESPACE
from penstock.local.ports import LOOPBACK, PortBook
from penstock.local.private_files import private_folder
from penstock.local.probes import http_answers
from penstock.local.supervised import Program
from penstock.lockfile import CHECKOUT

_LISTENERS = {
    "source": {"STORAGE_ADDRESS": "artifacts"},
    "notify": {"EVENTS_ADDR": "events", "RECEIVER_ADDR": "receiver"},
}
# Of the person's own environment; all else is as bare as in a pod.
_PASSED = (
    *("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("LOG_LEVEL", "CONCURRENT", "NO_CROSS_NAMESPACE_REFS"),
)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the services have in common."""

    folder: Path
    ports: PortBook
    given: Mapping[str, int]  # public ports asked for
    engine: Path
    nats_url: str


def service_program(
    name: str, around: Surroundings, *, kubeconfig: Path, credentials: Path
) -> Program:
    state = private_folder(around.folder / name)
    health = around.ports.port(f"{name}-health")
    listening = {
        variable: _address(around.ports.port(what, around.given.get(what)))
        for variable, what in _LISTENERS.get(name, {}).items()
    }
    environment = {
        **{name: os.environ[name] for name in _PASSED if name in os.environ},
        "HOME": str(state),
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
        "KUBECONFIG": str(kubeconfig),
        "NATS_URL": around.nats_url,
        "NATS_CREDENTIALS": str(credentials),
        "PENSTOCK_ENGINE": str(around.engine),
        "PENSTOCK_STATE": str(state),
        "RUNTIME_NAMESPACE": NAMESPACE,
        "HEALTH_ADDR": _address(health),
        "METRICS_ADDR": _address(around.ports.port(f"{name}-metrics")),
        "STORAGE_PATH": str(private_folder(state / "storage")),
        "STORAGE_ADV_ADDR": listening.get("STORAGE_ADDRESS", ""),
        **listening,
    }
    return Program(
        name=name,
        # -P: a folder named like one of our packages must not hide it.
        command=[sys.executable, "-P", "-m", f"services.{name}"],
        folder=state,
        log=private_folder(around.folder / "logs") / f"{name}.log",
        environment=environment,
        ready=http_answers(health, "/readyz"),
    )


def _address(port: int) -> str:
    return f"{LOOPBACK}:{port}"
