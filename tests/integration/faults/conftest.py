"""Stages for tests: one of its own for a test that breaks what all stand on, one with a crew for the others."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.faults.stage import Stage, stage
from tests.support.platforms import short_folder


@pytest.fixture
async def faults() -> AsyncIterator[Stage]:
    """A store, a provider that takes 0.06 s for an answer, and no worker yet."""
    with short_folder() as folder:
        async with stage(folder, call_seconds=0.06) as opened:
            yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_stage() -> AsyncIterator[Stage]:
    """Of a whole file, whose tests are marked ``on_crew``."""
    with short_folder() as folder:
        async with stage(folder) as opened:
            yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def crew(shared_stage: Stage) -> Stage:
    """The file's stage with two workers that live, whatever the test before has done to them."""
    await shared_stage.reset(call_seconds=0.03)
    await shared_stage.crew(2)
    return shared_stage
