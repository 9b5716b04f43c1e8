"""A chart and values become Helm's own release object, made by the engine.

Chart and values are a tenant's: the engine runs them jailed, within memory and time.
"""

from dataclasses import dataclass

import orjson

from services.helm.attempt import Attempt
from services.helm.crds import ChartDefinitions
from services.helm.names import origin_labels
from services.helm.options import DeployOptions
from services.helm.release_secret import ReleaseJson
from shared.artifact import ArtifactFailed
from shared.cluster.objects import Manifest
from shared.engine_messages import (
    EngineError,
    ReleaseRequest,
    RenderedChart,
    RenderOptions,
    RenderRequest,
)
from shared.outcomes import Failed


@dataclass(frozen=True)
class Rendered:
    """Objects in Helm's order, without their release's marks; definitions are of `crds/`."""

    body: ReleaseJson
    objects: tuple[Manifest, ...]
    definitions: tuple[Manifest, ...]


async def rendered(
    attempt: Attempt, options: DeployOptions, *, version: int, first_deployed: str | None = None
) -> Rendered:
    """With the chart's definitions applied. Without `first_deployed` it is an install."""
    result = await _render(attempt, options, version, first_deployed)
    definitions = ChartDefinitions(
        attempt.cluster, attempt.release.key, attempt.run, attempt.tools.now
    )
    if await definitions.apply(result.definitions, options.crds):
        # Templates may ask for what has just been defined, as they can with Helm.
        attempt.tools.capabilities.forget()
        result = await _render(attempt, options, version, first_deployed)
    return result


async def _render(
    attempt: Attempt, options: DeployOptions, version: int, first_deployed: str | None
) -> Rendered:
    request = RenderRequest(
        chart=str(await attempt.tools.artifacts.fetch(attempt.artifact)),
        values=attempt.values,
        release=ReleaseRequest(
            name=attempt.identity.name,
            namespace=attempt.identity.namespace,
            revision=version,
            is_upgrade=first_deployed is not None,
            previous={"info": {"first_deployed": first_deployed}} if first_deployed else None,
        ),
        capabilities=await attempt.tools.capabilities.read(),
        options=_options(attempt, options),
    )
    try:
        answer = await attempt.tools.engine.render(request)
    except EngineError as error:
        raise Failed(str(error)) from error
    _require_the_announced_chart(attempt, answer.chart)
    return Rendered(
        orjson.loads(bytes(answer.release)),
        tuple(each.object for each in answer.objects),
        tuple(manifest for each in answer.crds for manifest in each.objects),
    )


def _options(attempt: Attempt, options: DeployOptions) -> RenderOptions:
    common = attempt.release.spec.common_metadata
    return RenderOptions(
        disable_schema_validation=not options.validate_schema,
        # Helm's own check wants the cluster's OpenAPI; the API server checks what is applied.
        disable_open_api_validation=True,
        labels={**(common.labels if common else {}), **origin_labels(attempt.release.key)},
        annotations=dict(common.annotations) if common else {},
    )


def _require_the_announced_chart(attempt: Attempt, chart: RenderedChart) -> None:
    """Or every interval would find the release out of sync with what the source announces."""
    found = f"{chart.name}@{chart.version}"
    if found != attempt.chart:
        raise ArtifactFailed(
            f"the artifact {attempt.artifact.url} holds chart {found}, announced was "
            f"{attempt.chart}"
        )
