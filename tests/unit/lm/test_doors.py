"""How the door of an attempt is opened."""

from dataclasses import replace
from typing import Any, Never

import pytest
from dspy.lm15 import Request, Response, Usage

from dspy_service.adapters.memory import MemoryArtifactStore
from dspy_service.adapters.memory.cache import MemoryResponseCache
from dspy_service.domain.budget import Budget, ModelBudget, RoleBudgets
from dspy_service.domain.errors import ModelCallError, StoreUnavailableError
from dspy_service.domain.spec import ModelSettings
from tests.support.claims import JOB_ID, claimed
from tests.support.journals import KEY, eventually
from tests.support.lm_calls import Answers, ScriptedRegistry, lm_frame, response, spec
from workers.lm.doors import BrokerDoors
from workers.lm.environment import read_provider_environment
from workers.lm.registry import ModelRegistry


async def _answer(_request: Request) -> Response:
    return response("ok")


def _doors(registry: object, **more: Any) -> BrokerDoors:  # noqa: ANN401  # keywords of BrokerDoors
    return BrokerDoors(registry, artifacts=MemoryArtifactStore(), secret_key=KEY, **more)


async def test_the_demo_model_answers_through_a_door_and_costs_nothing() -> None:
    jobs, claim = await claimed()
    door = await _doors(ModelRegistry(read_provider_environment({}))).open(claim, tail=jobs)

    answers = Answers()
    door.ask(lm_frame(1), answers)
    await answers.wait(1)
    await door.aclose()

    assert answers.text(1)
    assert (door.usage().cost_usd, door.usage().unpriced_models) == (0.0, [])
    assert door.roles()["task"]["capabilities"]["function_calling"] is False


async def test_the_next_attempt_counts_the_same_where_the_provider_told_no_tokens() -> None:
    jobs, claim = await claimed()

    async def silent(_request: Request) -> Response:
        return replace(response("ok"), usage=Usage())

    answers, doors = Answers(), _doors(ScriptedRegistry(silent))
    first = await doors.open(claim, tail=jobs)
    first.ask(lm_frame(1), answers)
    await answers.wait(1)
    counted = first.usage()
    await first.aclose()
    await jobs.release(JOB_ID, fence=claim.fence)
    claim = await jobs.claim(JOB_ID, owner="w2", lease_seconds=60, sandbox_level="L1")

    second = await doors.open(claim, tail=jobs)
    replayed = second.usage()
    await second.aclose()

    assert (replayed.total_tokens, replayed.cost_usd) == (counted.total_tokens, counted.cost_usd)
    assert replayed.estimated_calls == counted.estimated_calls == 1
    assert counted.total_tokens > 0


async def test_a_door_keeps_its_answers_for_the_next_attempt() -> None:
    jobs, claim = await claimed()
    registry, answers = ScriptedRegistry(_answer), Answers()
    doors = _doors(registry)
    first = await doors.open(claim, tail=jobs)
    first.ask(lm_frame(1), answers)
    await answers.wait(1)
    await first.aclose()
    await jobs.release(JOB_ID, fence=claim.fence)
    claim = await jobs.claim(JOB_ID, owner="w2", lease_seconds=60, sandbox_level="L1")

    second = await doors.open(claim, tail=jobs)
    counted = second.usage().total_calls
    second.ask(lm_frame(2), answers)
    await second.aclose()

    assert answers.is_replayed(2)
    assert counted == 1
    assert second.usage().roles["task"].replayed_calls == 1
    assert len(registry.engine.requests) == 1


@pytest.mark.parametrize(
    "budget",
    [Budget(max_usd=1), Budget(roles=RoleBudgets(prompt=ModelBudget(max_usd=1)))],
    ids=["of the job", "of a role"],
)
async def test_a_bound_on_money_needs_a_price(budget: Budget) -> None:
    jobs, claim = await claimed(spec(budget=budget))
    registry = ScriptedRegistry(_answer, is_priced=False)

    with pytest.raises(ModelCallError, match=r"demo/in-context.*drop max_usd.*MODELS_FILE") as caught:
        await _doors(registry).open(claim, tail=jobs)

    assert caught.value.kind == "configuration"
    assert registry.engine.closed


@pytest.mark.parametrize("budget", [None, Budget(max_lm_calls=1), Budget(max_tokens=1)])
async def test_without_a_bound_on_money_no_price_is_needed(budget: Budget | None) -> None:
    jobs, claim = await claimed(spec(budget=budget))

    door = await _doors(ScriptedRegistry(_answer, is_priced=False, cost_usd=None)).open(claim, tail=jobs)
    answers = Answers()
    door.ask(lm_frame(1), answers)
    await answers.wait(1)
    await door.aclose()

    assert door.usage().unpriced_models == ["demo/in-context"]
    assert door.usage().cost_usd is None


@pytest.mark.parametrize(
    ("keeps_reserve", "kinds"), [(False, ["", "", "", ""]), (True, ["", "", "", "budget_exhausted"])]
)
async def test_a_budget_keeps_something_for_the_end_when_it_is_told_to(keeps_reserve: bool, kinds: list[str]) -> None:  # noqa: FBT001  # a case
    jobs, claim = await claimed(spec(budget=Budget(max_lm_calls=4)))
    doors, answers = _doors(ScriptedRegistry(_answer)), Answers()
    door = await doors.open(claim, tail=jobs, keeps_reserve=keeps_reserve)

    door.begin("baseline")
    door.ask(lm_frame(1, "baseline"), answers)
    await answers.wait(1)
    door.begin("compile")
    for number in (2, 3, 4):
        door.ask(lm_frame(number, f"compile {number}"), answers)
    await answers.wait(4)
    await door.aclose()

    assert [frame.get("error", {}).get("kind", "") for _, frame in sorted(answers.frames.items())] == kinds


async def test_a_model_that_is_not_there_closes_those_that_are() -> None:
    class Half(ScriptedRegistry):
        def capabilities(self, settings: ModelSettings) -> dict[str, Any]:
            if settings.name == "openai/unknown":
                raise ModelCallError("unsupported_model", "There is no such model.")
            return {}

    jobs, claim = await claimed(spec(reflection_lm=ModelSettings(name="openai/unknown")))
    registry = Half(_answer)

    with pytest.raises(ModelCallError, match="no such model"):
        await _doors(registry).open(claim, tail=jobs)

    assert registry.engine.closed


async def test_a_journal_that_cannot_be_read_closes_the_models() -> None:
    class Away(MemoryArtifactStore):
        async def list(self, folder: str) -> Never:
            raise StoreUnavailableError(folder)

    jobs, claim = await claimed()
    registry = ScriptedRegistry(_answer)

    with pytest.raises(StoreUnavailableError):
        await BrokerDoors(registry, artifacts=Away(), secret_key=KEY).open(claim, tail=jobs)

    assert registry.engine.closed


@pytest.mark.parametrize(("wants", "shared"), [(True, 1), (False, 0)])
async def test_answers_are_shared_only_by_jobs_that_want_it(wants: object, shared: int) -> None:
    jobs, claim = await claimed(spec(cache=wants))
    cache = MemoryResponseCache(max_bytes=1 << 20, unused_seconds=1000)
    door = await _doors(ScriptedRegistry(_answer), cache=cache).open(claim, tail=jobs)

    answers = Answers()
    door.ask(lm_frame(1), answers)
    await answers.wait(1)
    if shared:
        await eventually(lambda: cache._answers["local"])
    await door.aclose()

    assert len(cache._answers["local"]) == shared


async def test_the_budget_of_the_job_is_kept() -> None:
    jobs, claim = await claimed(spec(budget=Budget(max_lm_calls=1)))
    door = await _doors(ScriptedRegistry(_answer)).open(claim, tail=jobs)

    answers = Answers()
    for number in (1, 2):
        door.ask(lm_frame(number, f"question {number}"), answers)
    await answers.wait(2)
    await door.aclose()

    assert answers.kind(2) == "budget_exhausted"
    assert "max_lm_calls" in door.spent
