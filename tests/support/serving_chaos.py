"""A crowd of readers on a serving stage while its processes die, and the verdict on every run."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tests.support.openai_server import OpenAIServer
from tests.support.serving_apis import StageApi
from tests.support.serving_crowd import Crowd
from tests.support.serving_faults import Fault, Faults, serving_faults
from tests.support.serving_questions import Question
from tests.support.serving_reading import Reading
from tests.support.serving_stage import ServingStage
from tests.support.waiting import until

STORM_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Trouble:
    """How much of it."""

    readers: int
    """At least; there are more as long as something is still to strike."""
    at_once: int
    leaves: int
    """Of one reader, at most."""
    pieces: int
    """Of each answer, at most."""
    faults: Sequence[Fault] = field(default=("kill",))
    """In any order."""


@dataclass(frozen=True)
class Verdict:
    """What it came to."""

    readings: Sequence[Reading]
    disconnects: int
    broken: int
    struck: Counter[Fault]
    faults: Sequence[str]
    """What must not be: there should be none."""

    @property
    def lost(self) -> int:
        """Runs that ended because their process died."""
        return sum(each.is_lost for each in self.readings)

    @property
    def replaced(self) -> int:
        """Runs of which some text was taken back."""
        return sum(bool(each.replaced) for each in self.readings)


async def serving_chaos(
    stage: ServingStage, apis: Sequence[StageApi], provider: OpenAIServer, trouble: Trouble, *, seed: int
) -> Verdict:
    """Let readers come and go, strike, and judge; one more run at the end shows that all goes on.

    Args:
        stage: With both programs of ``serving_questions``, and one worker of two processes or more.
        apis: To read from.
        provider: Answers as ``serving_questions.answering`` says.
        trouble: How much.
        seed: Of all whims.
    """
    draw = random.Random(seed)  # noqa: S311  # a repeatable storm
    kinds = draw.sample(trouble.faults, k=len(trouble.faults))
    async with Crowd([api.base_url for api in apis], draw) as crowd, serving_faults(stage, apis, crowd, draw) as faults:
        asked = itertools.count()

        async def read_on(striking: asyncio.Task[None]) -> None:
            for number in asked:
                if number >= trouble.readers and striking.done():
                    return
                await crowd.read(Question(number, trouble.pieces), leaves=trouble.leaves)

        async with asyncio.TaskGroup() as tasks:
            striking = tasks.create_task(_strike(kinds, faults, crowd, trouble))
            for _ in range(trouble.at_once):
                tasks.create_task(read_on(striking))
        await crowd.read(Question(next(asked), trouble.pieces), leaves=trouble.leaves)
        found = [each for reading in crowd.readings for each in await _faults_of(reading, stage, faults, trouble)]
        found += await _unsaid(crowd.readings, stage, provider, trouble)
        return Verdict(crowd.readings, crowd.disconnects, crowd.broken, faults.struck, found)


async def _strike(kinds: Sequence[Fault], faults: Faults, crowd: Crowd, trouble: Trouble) -> None:
    """Strike in this order, spread over the storm."""
    for number, kind in enumerate(kinds, start=1):
        await until(partial(_is_past, trouble.readers * number // (len(kinds) + 1), crowd), seconds=STORM_SECONDS)
        await faults.strike(kind)


async def _is_past(readers: int, crowd: Crowd) -> bool:
    return sum(bool(each.ends) for each in crowd.readings) >= readers


async def _faults_of(reading: Reading, stage: ServingStage, faults: Faults, trouble: Trouble) -> list[str]:
    """Return what is wrong with one run, as its reader, its log and its conversation have it."""
    question = Question(reading.number, trouble.pieces)
    found = reading.faults(question.answer, await stage.events(reading.run_id) if reading.run_id else [])
    if reading.is_lost and reading.run_id not in faults.condemned:
        said = [line for each in stage.workers for line in each.output.splitlines() if reading.run_id in line]
        found.append(f"question {reading.number}: run {reading.run_id} was lost, and its worker lives: {said}")
    return found


async def _unsaid(
    readings: Sequence[Reading], stage: ServingStage, provider: OpenAIServer, trouble: Trouble
) -> list[str]:
    """Return questions that the model was asked more often than runs were begun."""
    calls = Counter(Question.asked_in(call.body, trouble.pieces).number for call in provider.received)
    found = []
    for reading in readings:
        question, attempts = Question(reading.number, trouble.pieces), (await stage.runs.get(reading.run_id)).fence
        if calls[reading.number] > attempts * question.calls:
            found.append(f"question {reading.number} was asked {calls[reading.number]} times in {attempts} attempts")
    return found
