"""`kill -9` of any process in the middle of any step of the demo: it ends right all the same."""

import pytest

from penstock.demo.stage import Stage
from penstock.demo.story import FLEET, Story

VICTIMS = ("source", "kustomize", "helm", "notify", "nats", "apiserver")

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("victim", VICTIMS)
async def test_the_story_ends_right_whoever_dies_in_the_middle(stage: Stage, victim: str) -> None:
    fleet = await stage.git.repository("fleet", FLEET)
    kills: list[str] = []

    async def kill() -> None:
        kills.append(victim)
        await stage.environment.kill(victim)

    story = Story(stage.cluster, fleet, stage.sink, stage.webhooks, meanwhile=kill)

    saw = [await step() for _, step in story.steps]

    assert len(saw) == len(story.steps)
    assert len(kills) >= 6
    assert stage.environment.process(victim).restarts >= 1
