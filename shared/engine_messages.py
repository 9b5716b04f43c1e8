"""What is asked of the rendering engine, and what it answers.

Objects come as plain dicts, because they are foreign by nature; a release comes as the bytes of
Helm's own JSON, which is what Helm stores.
"""

from typing import Any

import msgspec

from shared.resources.meta import Model
from shared.resources.transforms import Image, Patch

JsonObject = dict[str, Any]


class EngineError(Exception):
    """Something was not rendered; the message is for the user."""


class EngineRefused(EngineError):
    """The input is wrong: only another input can help."""


class EngineLimit(EngineError):
    """The input broke a limit: time, memory, size; or it crashed the library that renders it."""


class EngineUnavailable(EngineError):
    """Not the input's fault: the engine does not start, or an archive is gone from disk."""


class Loaded(Model, frozen=True, kw_only=True):
    """A tree that is in memory now."""

    files: int
    bytes: int


class Overlay(Model, frozen=True, kw_only=True):
    """What a Kustomization object adds to the kustomization file that it names."""

    namespace: str = ""
    name_prefix: str = ""
    name_suffix: str = ""
    patches: tuple[Patch, ...] = ()
    images: tuple[Image, ...] = ()
    components: tuple[str, ...] = ()
    ignore_missing_components: bool = False
    build_metadata: tuple[str, ...] = ()


class BuildRequest(Model, frozen=True, kw_only=True):
    """`text`: objects that mention variables come as YAML, for substitution needs its quotes."""

    tree: str
    path: str = "./"
    overlay: Overlay = Overlay()
    text: bool = False


class BuiltObject(Model, frozen=True, kw_only=True):
    """An object, or the YAML of one that variables are to be substituted in: never both."""

    object: JsonObject | None = None
    text: str | None = None


class Built(Model, frozen=True, kw_only=True):
    """`trace` is all that the build asked of its tree: the same answers give the same build."""

    objects: tuple[BuiltObject, ...] = ()
    digest: str
    trace: tuple[str, ...] = ()
    trace_digest: str


class Question(Model, frozen=True, kw_only=True):
    """Expressions about the same values. Those with `declared` variables are checked before they
    run; without, every top-level name is looked for among the values. Without values none runs."""

    expressions: tuple[str, ...]
    declared: tuple[str, ...] = ()
    values: JsonObject | None = None


class Answered(Model, frozen=True, kw_only=True):
    """`invalid`: why the text can never be evaluated; `problem`: why it could not be now."""

    truth: bool | None = None
    invalid: str = ""
    problem: str = ""


class ReleaseRequest(Model, frozen=True, kw_only=True):
    """`previous` is the stored release that an upgrade follows: Helm's JSON, the chart left out
    unless values are reused."""

    name: str
    namespace: str
    revision: int = 1
    is_upgrade: bool = False
    previous: msgspec.Raw | JsonObject | None = None


class Capabilities(Model, frozen=True, kw_only=True):
    """What the cluster serves; where empty, what Helm was built with."""

    kube_version: str = ""
    api_versions: tuple[str, ...] = ()


class RenderOptions(Model, frozen=True, kw_only=True):
    """Labels and annotations are set on all that is rendered, hooks too."""

    disable_hooks: bool = False
    include_crds: bool = msgspec.field(default=False, name="includeCRDs")
    disable_schema_validation: bool = False
    disable_open_api_validation: bool = msgspec.field(
        default=False, name="disableOpenAPIValidation"
    )
    reuse_values: bool = False
    client_side_apply: bool = False
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)


class RenderRequest(Model, frozen=True, kw_only=True):
    """`chart` is a packaged chart below the directory that the engine may read."""

    chart: str
    values: JsonObject = msgspec.field(default_factory=dict)
    release: ReleaseRequest
    capabilities: Capabilities = Capabilities()
    options: RenderOptions = RenderOptions()


class RenderedObject(Model, frozen=True, kw_only=True):
    source: str
    object: JsonObject


class RenderedHook(Model, frozen=True, kw_only=True):
    name: str
    kind: str
    path: str
    events: tuple[str, ...] = ()
    weight: int = 0
    delete_policies: tuple[str, ...] = ()
    output_log_policies: tuple[str, ...] = ()
    object: JsonObject


class RenderedCrd(Model, frozen=True, kw_only=True):
    name: str
    objects: tuple[JsonObject, ...] = ()


class RenderedChart(Model, frozen=True, kw_only=True):
    name: str
    version: str
    app_version: str = ""
    digest: str


class Rendered(Model, frozen=True, kw_only=True):
    """`release` is what Helm would store now, pending; objects are in Helm's order of install."""

    release: msgspec.Raw
    objects: tuple[RenderedObject, ...] = ()
    hooks: tuple[RenderedHook, ...] = ()
    crds: tuple[RenderedCrd, ...] = ()
    chart: RenderedChart
    notes: str = ""


class Snapshot(Model, frozen=True, kw_only=True):
    """Digests of a release as the history of a HelmRelease holds them."""

    digest: str
    config_digest: str


class Jail(Model, frozen=True, kw_only=True):
    """`landlock` is the kernel's version of it; 0 without it: then only system calls are fenced."""

    seccomp: bool
    landlock: int


class Versions(Model, frozen=True, kw_only=True):
    go: str
    helm: str
    kustomize: str
    jail: Jail
