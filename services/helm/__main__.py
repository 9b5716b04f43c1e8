"""The helm service: `python -m services.helm`."""

import asyncio

from services.helm.hearing import attach
from services.helm.keeping import NAME, Means, keeping_releases
from shared.rendering_doors import rendering_doors
from shared.service import run_service
from shared.settings import Settings

CONCURRENT = 16


async def start(settings: Settings) -> None:
    async with rendering_doors(settings, service="helm", controller=NAME) as doors:
        means = Means(
            cluster=doors.cluster,
            recorder=doors.recorder,
            engine=doors.engine,
            artifacts=doors.artifacts,
            concurrent=settings.concurrent or CONCURRENT,
            cross_namespace=not settings.no_cross_namespace_refs,
        )
        async with keeping_releases(means) as keeping, asyncio.TaskGroup() as group:
            group.create_task(attach(doors.bus, doors.cluster, keeping).run())
            doors.ready.set()
            await keeping.controller.run()


if __name__ == "__main__":
    run_service(start)
