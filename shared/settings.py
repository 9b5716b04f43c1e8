"""What the environment of a service's process says; the README's table lists the same names."""

import os
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from shared.durations import InvalidDurationError, parse_duration
from shared.networks import NONE, networks_of
from shared.threshold import UNLIMITED, Threshold

_SELECTOR = re.compile(r"[\w./=!,() -]{1,1000}", re.ASCII)
MIB = 1024 * 1024
Size = Annotated[int, msgspec.Meta(gt=0)]  # in bytes


class SettingError(Exception):
    """Names the variable, its value and what would do."""


class Address(NamedTuple):
    """Where to listen; an empty host is every interface."""

    host: str
    port: int


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Fields are environment variables in upper case, but for the PENSTOCK_ ones named below."""

    kubeconfig: Path | None = None
    nats_url: str = "nats://127.0.0.1:4222"
    nats_credentials: Path | None = None
    engine: Path | None = None
    state: Path = Path("/tmp/penstock")  # noqa: S108  (the one writable folder of our pods)
    runtime_namespace: str = "flux-system"
    storage_path: Path = Path("/data")
    storage_address: Address = Address("", 9090)
    storage_adv_addr: str = ""
    artifact_retention_ttl: timedelta = timedelta(seconds=60)
    artifact_retention_records: Annotated[int, msgspec.Meta(ge=1)] = 2
    artifact_digest_algo: Literal["sha256", "sha384", "sha512", "blake3"] = "sha256"
    artifact_store_mebibytes: Annotated[int, msgspec.Meta(ge=0)] = 2048  # 0: not used
    health_addr: Address = Address("", 9440)
    metrics_addr: Address = Address("", 8080)
    events_addr: Address = Address("", 9090)
    receiver_addr: Address = Address("", 9292)
    no_cross_namespace_refs: bool = False
    helm_index_max_size: Size = 50 * MIB
    helm_chart_max_size: Size = 10 * MIB
    helm_chart_file_max_size: Size = 5 * MIB
    feature_gates: Mapping[str, bool] = msgspec.field(default_factory=dict)
    ssh_kex_algos: tuple[str, ...] = ()  # empty: all that are known to be safe
    ssh_hostkey_algos: tuple[str, ...] = ()
    forbidden_networks: tuple[str, ...] = ("link-local",)  # as shared.networks reads them
    prune_limit: Threshold = UNLIMITED
    interval_jitter_percentage: Annotated[int, msgspec.Meta(ge=0, lt=100)] = 5
    requeue_dependency: timedelta = timedelta(seconds=30)
    min_retry_delay: timedelta = timedelta(milliseconds=750)
    max_retry_delay: timedelta = timedelta(minutes=15)
    http_retry: Annotated[int, msgspec.Meta(ge=0, le=100)] = 3
    watch_all_namespaces: bool = True  # else only `runtime_namespace`
    watch_label_selector: str = ""
    watch_configs_label_selector: str = "reconcile.fluxcd.io/watch=Enabled"
    override_manager: tuple[str, ...] = ()
    custom_apply_stage_kinds: tuple[str, ...] = ()  # `group/Kind`
    concurrent: int = 0  # 0: the service's own default
    log_level: str = "info"

    @property
    def watched_namespace(self) -> str:
        """Empty: all of them."""
        return "" if self.watch_all_namespaces else self.runtime_namespace

    @property
    def open_gates(self) -> frozenset[str]:
        """The names of the feature gates that are open."""
        return frozenset(name for name, is_open in self.feature_gates.items() if is_open)


VARIABLES = {
    name: f"PENSTOCK_{name.upper()}" if name in {"engine", "state"} else name.upper()
    for name in Settings.__struct_fields__
}


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises SettingError for a value that does not fit its variable."""
    given: dict[str, Any] = {}
    for name, variable in VARIABLES.items():
        text = environment.get(variable)
        if text:
            given[name] = _READERS.get(name, _as_it_is)(variable, text)
    try:
        return msgspec.convert(given, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        name = str(error).rpartition("$.")[2].strip("`")
        raise SettingError(f"{VARIABLES.get(name, name)}={given.get(name)!r}: {error}") from error


def _duration(variable: str, text: str) -> timedelta:
    try:
        return parse_duration(text)
    except InvalidDurationError as error:
        raise SettingError(f"{variable}={text!r}: {error}") from error


def _pause(variable: str, text: str) -> timedelta:
    pause = _duration(variable, text)
    if not pause:
        raise SettingError(f"{variable}={text!r}: must be longer than nothing")
    return pause


def _selector(variable: str, text: str) -> str:
    """Characters only; what the API server makes of it is its own matter."""
    if not _SELECTOR.fullmatch(text):
        raise SettingError(f"{variable}={text!r}: write labels like key=value,other!=value")
    return text


def _address(variable: str, text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise SettingError(f"{variable}={text!r}: write host:port or :port") from error


def _threshold(variable: str, text: str) -> Threshold:
    try:
        return Threshold.parse(text)
    except ValueError as error:
        raise SettingError(f"{variable}={text!r}: {error}") from error


def _gates(variable: str, text: str) -> dict[str, bool]:
    """`One=true,Other=false`, as Kubernetes writes feature gates."""
    gates = {}
    for part in _list(variable, text):
        name, _, truth = part.partition("=")
        if not name or truth.lower() not in ("true", "false"):
            raise SettingError(f"{variable}={text!r}: write Name=true or Name=false, with commas")
        gates[name.strip()] = truth.lower() == "true"
    return gates


def _list(_variable: str, text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _kinds(variable: str, text: str) -> list[str]:
    kinds = _list(variable, text)
    for kind in kinds:
        if kind.count("/") != 1 or kind.endswith("/"):
            raise SettingError(
                f"{variable}={text!r}: write group/Kind, with commas; /Kind for the core group"
            )
    return kinds


def _networks(variable: str, text: str) -> list[str]:
    words = _list(variable, text)
    if words == [NONE]:
        return []
    try:
        networks_of(words)
    except ValueError as error:
        raise SettingError(f"{variable}={text!r}: {error}; `{NONE}` forbids nothing") from error
    return words


def _as_it_is(_variable: str, text: str) -> str:
    return text


_READERS: Mapping[str, Callable[[str, str], Any]] = {
    "storage_address": _address,
    "health_addr": _address,
    "metrics_addr": _address,
    "events_addr": _address,
    "receiver_addr": _address,
    "artifact_retention_ttl": _duration,
    "feature_gates": _gates,
    "ssh_kex_algos": _list,
    "ssh_hostkey_algos": _list,
    "forbidden_networks": _networks,
    "prune_limit": _threshold,
    "requeue_dependency": _pause,
    "min_retry_delay": _pause,
    "max_retry_delay": _pause,
    "watch_label_selector": _selector,
    "watch_configs_label_selector": _selector,
    "override_manager": _list,
    "custom_apply_stage_kinds": _kinds,
}


def _path(wanted: type, value: Any) -> Any:
    return wanted(value)


def parse_address(text: str) -> Address:
    """`:8080` or `127.0.0.1:8080`; raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"no port in {text!r}")
    return Address(host.strip("[]"), int(port))
