"""A served program against a provider that fails, over a real connection."""

import json

import dspy
import pytest

from dspy_service.domain.serving.run_events import Failed, Predicted, RunFact
from dspy_service.domain.spec import ModelSettings
from tests.support.openai_server import OpenAIServer, Reply, Script, error, in_order
from tests.support.served import kinds, produced, producer_of, run_of, texts, version_of
from workers.lm.retry import RetryPolicy
from workers.serving.engine import StreamLimits

_QUICK = RetryPolicy(
    max_attempts=3,
    max_total_seconds=2.0,
    max_rate_limited_seconds=0.5,
    first_delay_seconds=0.01,
    max_delay_seconds=0.02,
)
_ANSWER = "[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]"


async def _facts(
    script: Script, *, signature: str = "question -> answer", limits: StreamLimits | None = None, **fields: object
) -> tuple[list[RunFact], OpenAIServer]:
    program = dspy.Predict(signature)
    with OpenAIServer(script) as server:
        version = version_of(program, ModelSettings(name="openai/test", base_url=server.base_url))
        producer = producer_of(program, version, limits=limits or StreamLimits(retry=_QUICK))
        facts = await produced(producer, run_of(version, **fields))
        await producer.aclose()
    return facts, server


def _failure(facts: list[RunFact]) -> Failed:
    last = facts[-1]
    assert isinstance(last, Failed)
    return last


async def test_a_failure_before_the_first_piece_is_tried_again() -> None:
    facts, server = await _facts(in_order(error(500), error(429, retry_after="0.02"), Reply(_ANSWER)))

    assert isinstance(facts[-1], Predicted)
    assert facts[-1].prediction == {"answer": "Paris"}
    assert len(server.received) == 3


async def test_a_provider_that_limits_the_rate_says_when_to_come_back() -> None:
    facts, _ = await _facts(in_order(error(429, retry_after="7")))

    failed = _failure(facts)
    assert (failed.error.code, failed.error.retryable, failed.partial) == ("lm_rate_limited", True, False)
    assert failed.error.retry_after_seconds == 7


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (error(401, message="bad key sk-secret-0123456789"), "lm_auth"),
        (error(503), "lm_transport"),
        (error(400, code="context_length_exceeded", message="too long"), "lm_context_overflow"),
        (error(400, message="no such option (key sk-secret-0123456789)"), "model_error"),
        (error(404, message="no such model"), "model_error"),
        (Reply(hang_up=True), "lm_transport"),
        (Reply(raw=b"<html>Bad gateway</html>", headers={"Content-Type": "text/html"}), "lm_transport"),
        (Reply(raw=b"", headers={"Content-Type": "text/event-stream"}), "lm_transport"),
        (Reply(raw=b"data: {oops\n\ndata: [DONE]\n\n"), "lm_transport"),
        (Reply(raw=b'data: {"choices":[],"usage":{"prompt_tokens":-5}}\n\ndata: [DONE]\n\n'), "lm_transport"),
    ],
    ids=[
        "auth",
        "down",
        "context",
        "refused",
        "unknown",
        "hung-up",
        "a-page",
        "nothing",
        "no-json",
        "wrong-usage",
    ],
)
async def test_a_failure_has_a_stable_code_and_tells_no_key(reply: Reply, code: str) -> None:
    facts, _ = await _facts(in_order(reply))

    failed = _failure(facts)
    assert (failed.error.code, failed.error.model) == (code, "openai/test")
    assert failed.error.message.startswith(f"The model openai/test failed ({failed.error.kind}): ")
    assert not failed.partial
    assert "sk-secret" not in failed.error.message


async def test_a_connection_that_breaks_after_a_piece_is_not_asked_again() -> None:
    pieces = ["[[ ## answer ## ]]\n", "Par", "is, ", "of ", "course"]
    facts, server = await _facts(lambda _body: Reply(pieces=pieces, breaks_after=4))

    failed = _failure(facts)
    assert (failed.error.code, failed.partial) == ("lm_transport", True)
    assert texts(facts) == {"answer": "Paris, of"}
    assert len(server.received) == 1
    assert facts[-2].type == "usage"
    assert facts[-2].usage.roles["task"].failed_calls == 1
    assert facts[-2].usage.estimated_calls == 1


async def test_a_provider_that_fails_in_the_middle_may_be_asked_again_by_the_caller() -> None:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "test"}
    begun = {**chunk, "choices": [{"index": 0, "delta": {"content": "[[ ## answer ## ]]\nParis, of course"}}]}
    failed = {"error": {"message": "The server had an error.", "type": "server_error", "code": None}}
    raw = "".join(f"data: {json.dumps(each)}\n\n" for each in (begun, failed)).encode()
    facts, server = await _facts(lambda _body: Reply(raw=raw, headers={"Content-Type": "text/event-stream"}))

    error = _failure(facts).error
    assert (error.code, error.kind, error.retryable, _failure(facts).partial) == ("lm_transport", "server", True, True)
    assert len(server.received) == 1


async def test_a_model_that_falls_silent_is_given_up() -> None:
    pieces = ["[[ ## answer ## ]]\n", "Par", "is ", "Paris"]
    limits = StreamLimits(quiet_seconds=0.15, retry=_QUICK)
    facts, _ = await _facts(lambda _body: Reply(pieces=pieces, piece_seconds=5), limits=limits)

    assert _failure(facts).error.code == "lm_timeout"
    assert _failure(facts).error.message.endswith("The model said nothing for 0.15 s.")


async def test_a_model_that_says_nothing_is_asked_again_and_then_given_up() -> None:
    limits = StreamLimits(first_seconds=0.1, retry=_QUICK)
    facts, server = await _facts(lambda _body: Reply(_ANSWER, delay_seconds=30), limits=limits)

    assert _failure(facts).error.code == "lm_timeout"
    assert _failure(facts).error.message.endswith("The model said nothing for 0.1 s.")
    assert len(server.received) == 3


async def test_a_model_that_goes_on_for_ever_is_given_up() -> None:
    pieces = ["[[ ## answer ## ]]\n", *["Paris, "] * 10_000]
    limits = StreamLimits(whole_seconds=0.4, retry=_QUICK)
    facts, _ = await _facts(lambda _body: Reply(pieces=pieces, piece_seconds=0.01), limits=limits)

    assert (_failure(facts).error.code, _failure(facts).partial) == ("lm_timeout", True)
    assert _failure(facts).error.message.endswith("The model was still answering after 0.4 s.")


async def test_an_answer_in_the_wrong_form_is_asked_for_anew_and_what_was_sent_of_it_is_taken_back() -> None:
    wrong = Reply("[[ ## answer ## ]]\nwrong one\n\n[[ ## completed ## ]]")
    right = Reply('{"answer": "Paris", "score": 3}')
    facts, server = await _facts(in_order(wrong, right), signature="question -> answer, score: int")

    assert isinstance(facts[-1], Predicted)
    assert facts[-1].prediction == {"answer": "Paris", "score": 3}
    assert texts(facts) == {"answer": "Paris"}
    assert kinds(facts).count("replace") == 1
    assert len(server.received) == 2
    assert facts[-1].usage is not None
    assert facts[-1].usage.total_calls == 2


async def test_an_answer_that_never_has_the_form_is_the_models_failure() -> None:
    facts, _ = await _facts(in_order(Reply("Hello!")), signature="question -> answer, score: int")

    failed = _failure(facts)
    assert (failed.error.code, failed.error.retryable) == ("adapter_parse", True)
    assert "Hello" not in failed.error.message


async def test_an_answer_that_was_cut_off_says_so() -> None:
    facts, _ = await _facts(lambda _body: Reply("[[ ## answer ## ]]\nParis is the", finish_reason="length"))

    final = facts[-1]
    assert isinstance(final, Predicted)
    assert (final.finish_reason, final.answer) == ("length", "Paris is the")


async def test_an_answer_that_was_cut_off_before_all_fields_says_what_to_raise() -> None:
    cut = Reply("[[ ## answer ## ]]\nParis is the", finish_reason="length")
    facts, _ = await _facts(lambda _body: cut, signature="question -> answer, score: int")

    failed = _failure(facts)
    assert failed.error.code == "adapter_parse"
    assert "max_tokens" in failed.error.message
    assert failed.partial


async def test_the_providers_own_token_counts_are_the_usage() -> None:
    facts, _ = await _facts(lambda _body: Reply(_ANSWER, prompt_tokens=11, completion_tokens=4))

    assert isinstance(facts[-1], Predicted)
    usage = facts[-1].usage
    assert usage is not None
    assert (usage.roles["task"].prompt_tokens, usage.roles["task"].completion_tokens) == (11, 4)
    assert usage.total_calls == 1


async def test_a_version_that_is_gone_ends_the_run() -> None:
    facts, server = await _facts(in_order(Reply(_ANSWER)), program="another")

    assert _failure(facts).error.code == "internal"
    assert server.received == []


async def test_half_a_character_of_a_model_is_mended_and_costs_no_answer() -> None:
    pieces = ["[[ ## answer ## ]]\nlone \ud83d, halves \ud83d", "\ude00, end \ude00\n\n[[ ## completed ## ]]"]
    facts, _ = await _facts(lambda _body: Reply(pieces=pieces))

    final = facts[-1]
    assert isinstance(final, Predicted)
    assert final.answer == texts(facts)["answer"] == "lone \ufffd, halves \U0001f600, end \ufffd"


async def test_a_provider_may_send_a_long_answer_in_one_piece() -> None:
    answer = "a line of the answer, " * 50_000
    facts, _ = await _facts(lambda _body: Reply(pieces=["[[ ## answer ## ]]\n" + answer]))

    assert facts[-1].type == "final"
    assert texts(facts)["answer"] == answer.rstrip()


async def test_a_provider_that_does_not_stream_is_understood_and_asked_once() -> None:
    whole = {"message": {"role": "assistant", "content": _ANSWER}, "index": 0, "finish_reason": "stop"}
    usage = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
    raw = json.dumps({"id": "1", "object": "chat.completion", "model": "m", "choices": [whole], "usage": usage})
    facts, server = await _facts(lambda _body: Reply(raw=raw.encode()))

    final = facts[-1]
    assert isinstance(final, Predicted)
    assert final.answer == texts(facts)["answer"] == "Paris"
    assert final.usage is not None
    assert (final.usage.total_tokens, final.usage.estimated_calls) == (15, 0)
    assert len(server.received) == 1
