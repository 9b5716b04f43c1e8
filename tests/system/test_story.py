"""The demo's story, as a user sees it."""

import pytest

from penstock.demo.stage import Stage
from penstock.demo.story import FLEET, Story

pytestmark = pytest.mark.timeout(180)


async def test_a_fleet_in_git_becomes_running_applications_and_stays_so(stage: Stage) -> None:
    fleet = await stage.git.repository("fleet", FLEET)
    story = Story(stage.cluster, fleet, stage.sink, stage.webhooks)

    saw = [await step() for _, step in story.steps]

    assert len(saw) == len(story.steps)
    assert [p.restarts for p in stage.environment.processes if p.restarts] == []
