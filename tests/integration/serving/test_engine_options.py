"""What a run may choose: its options, its own instructions, and whether earlier answers count."""

import dspy

from dspy_service.adapters.memory.cache import MemoryResponseCache
from dspy_service.domain.serving.program import ChatMapping
from dspy_service.domain.serving.run import RunOptions
from dspy_service.domain.serving.run_events import Predicted
from dspy_service.domain.spec import ModelSettings
from tests.support.openai_server import OpenAIServer, Reply, in_order
from tests.support.served import produced, producer_of, run_of, texts, version_of

_FIRST = Reply("[[ ## answer ## ]]\nParis it is\n\n[[ ## completed ## ]]")
_SECOND = Reply("[[ ## answer ## ]]\nLyon it is\n\n[[ ## completed ## ]]")


def _cache() -> MemoryResponseCache:
    return MemoryResponseCache(max_bytes=1 << 20, unused_seconds=60)


async def test_a_runs_options_win_over_its_versions() -> None:
    program = dspy.Predict("question -> answer")
    options = RunOptions(temperature=0.9, max_tokens=77, stop=["END"], seed=5, top_p=0.5)
    with OpenAIServer(in_order(_FIRST)) as server:
        version = version_of(program, ModelSettings(name="openai/test", base_url=server.base_url, temperature=0.1))
        producer = producer_of(program, version)
        await produced(producer, run_of(version))
        await produced(producer, run_of(version, options=options))
        await producer.aclose()

    plain, chosen = (received.body for received in server.received)
    assert plain["temperature"] == 0.1
    assert "seed" not in plain
    assert (chosen["temperature"], chosen["seed"], chosen["top_p"]) == (0.9, 5, 0.5)
    assert 77 in {chosen.get("max_tokens"), chosen.get("max_completion_tokens")}
    assert "END" in chosen["stop"]


async def test_a_runs_instructions_are_added_where_its_version_allows_them_and_never_stay() -> None:
    program = dspy.ChainOfThought("question -> answer")
    answer = Reply("[[ ## reasoning ## ]]\nhm\n\n[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]")
    options = RunOptions(instructions="Speak like a pirate.")
    with OpenAIServer(in_order(answer)) as server:
        lm = ModelSettings(name="openai/test", base_url=server.base_url)
        version = version_of(program, lm, chat=ChatMapping(allow_system=True))
        producer = producer_of(program, version)
        await produced(producer, run_of(version, options=options))
        await produced(producer, run_of(version))
        await producer.aclose()
        closed = version_of(program, lm)
        producer = producer_of(program, closed)
        await produced(producer, run_of(closed, options=options))
        await producer.aclose()

    allowed, plain, refused = (str(received.body["messages"][0]["content"]) for received in server.received)
    assert "pirate" in allowed
    assert plain == refused
    assert "pirate" not in plain


async def test_a_cached_answer_streams_as_a_paid_one_and_costs_nothing() -> None:
    program = dspy.Predict("question -> answer")
    with OpenAIServer(in_order(_FIRST, _SECOND)) as server:
        version = version_of(program, ModelSettings(name="openai/test", base_url=server.base_url))
        producer = producer_of(program, version, cache=_cache())
        paid = await produced(producer, run_of(version))
        again = await produced(producer, run_of(version, run_id="run_2"))
        await producer.aclose()

    final = again[-1]
    assert isinstance(final, Predicted)
    assert (final.cached, final.answer) == (True, "Paris it is")
    assert texts(again) == texts(paid) == {"answer": "Paris it is"}
    assert any(fact.type == "token" for fact in again)
    assert final.usage is not None
    assert (final.usage.total_calls, final.usage.roles["task"].shared_cache_calls) == (0, 1)
    assert len(server.received) == 1
    assert not paid[-1].cached


async def test_a_run_may_pass_the_cache_by() -> None:
    program = dspy.Predict("question -> answer")
    with OpenAIServer(in_order(_FIRST, _SECOND)) as server:
        version = version_of(program, ModelSettings(name="openai/test", base_url=server.base_url))
        producer = producer_of(program, version, cache=_cache())
        await produced(producer, run_of(version))
        bypassing = await produced(producer, run_of(version, options=RunOptions(cache="bypass")))
        using = await produced(producer, run_of(version))
        await producer.aclose()

    assert [facts[-1].answer for facts in (bypassing, using)] == ["Lyon it is", "Paris it is"]


async def test_a_fresh_answer_takes_the_place_of_the_cached_one() -> None:
    program = dspy.Predict("question -> answer")
    with OpenAIServer(in_order(_FIRST, _SECOND)) as server:
        version = version_of(program, ModelSettings(name="openai/test", base_url=server.base_url))
        producer = producer_of(program, version, cache=_cache())
        await produced(producer, run_of(version))
        refreshing = await produced(producer, run_of(version, options=RunOptions(cache="refresh")))
        await producer.settle()
        using = await produced(producer, run_of(version))
        await producer.aclose()

    assert [facts[-1].answer for facts in (refreshing, using)] == ["Lyon it is", "Lyon it is"]


async def test_tenants_share_no_answers() -> None:
    program = dspy.Predict("question -> answer")
    cache = _cache()
    with OpenAIServer(in_order(_FIRST, _SECOND)) as server:
        answers = []
        for tenant in ("acme", "other"):
            lm = ModelSettings(name="openai/test", base_url=server.base_url)
            version = version_of(program, lm, tenant=tenant)
            producer = producer_of(program, version, cache=cache)
            answers.append((await produced(producer, run_of(version)))[-1].answer)
            await producer.aclose()

    assert answers == ["Paris it is", "Lyon it is"]
