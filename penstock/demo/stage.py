"""Where the demo, the system tests and the measurements play: environment, Git server, webhook.

async with Stage.standing(folder) as stage:
    stage.cluster, stage.git, stage.sink, stage.webhooks, stage.environment
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock.demo.cluster_facts import becomes
from penstock.demo.sink import Sink
from penstock.local.environment import Environment, Wishes
from penstock.local.git_server import GitServer
from shared.cluster.client import Cluster
from shared.cluster.objects import Gvk, ref_of
from shared.resources.kustomize import Kustomization
from shared.resources.registry import KINDS


@dataclass
class Stage:
    """`cluster` speaks as the administrator, `webhooks` is where Receivers listen."""

    environment: Environment
    cluster: Cluster
    git: GitServer
    sink: Sink

    @property
    def webhooks(self) -> str:
        return self.environment.record.receiver

    @classmethod
    @asynccontextmanager
    async def standing(
        cls,
        folder: Path,
        wishes: Wishes | None = None,
        say: Callable[[str], None] | None = None,
    ) -> AsyncIterator["Stage"]:
        async with (
            Environment(folder / "environment", wishes, say=say) as environment,
            Cluster.connect(Path(environment.record.kubeconfig)) as cluster,
            GitServer(folder / "git") as git,
            Sink.listening() as sink,
        ):
            yield cls(environment, cluster, git, sink)

    async def clear(self, namespace: str) -> None:
        """Delete all objects of ours in a namespace and wait until what they own is gone too."""
        appliers_first = sorted(KINDS, key=lambda model: model is not Kustomization)
        for model in appliers_first:
            gvk = Gvk(model.api_version, model.kind)
            for manifest in await self.cluster.list(gvk, namespace=namespace):
                await self.cluster.delete(ref_of(manifest))
            await self._none_left(gvk, namespace)

    async def _none_left(self, gvk: Gvk, namespace: str) -> None:
        async def empty() -> bool | None:
            return not await self.cluster.list(gvk, namespace=namespace) or None

        await becomes(f"no {gvk.kind} is left in {namespace}", empty)
