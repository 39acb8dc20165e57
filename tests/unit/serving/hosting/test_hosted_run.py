"""How a confined run ends, in the words that its caller gets."""

from typing import Any, cast

import dspy
import pytest

from dspy_service.domain.serving.run_events import Failed
from tests.support.hosted import confined
from tests.support.served import DEMO, interface_of, produced, producer_of, run_of
from tests.support.served_programs import an_interface
from workers.lm.meter import Meter
from workers.serving.answer_cache import ROLE
from workers.serving.engine import TellingEngine
from workers.serving.hosting.hosted_calls import HostedCalls
from workers.serving.hosting.hosted_run import HostedRun
from workers.serving.hosting.told_facts import ToldFacts
from workers.serving.lm import RunCalls
from workers.serving.progress import Progress
from workers.serving.run_errors import run_error


def _a_run(*, finish_reason: str = "stop") -> HostedRun:
    calls = RunCalls("acme", Meter({ROLE: "m"}))
    calls.finish_reason = finish_reason  # type: ignore[assignment]  # one of the words
    told = ToldFacts(an_interface(), Progress(), max_facts=10, max_chars=100)
    return HostedRun(told, HostedCalls(calls, cast("TellingEngine", None), max_tokens=1, max_calls=1))


async def _told(run: HostedRun, **frame: Any) -> tuple[str, str, bool]:  # noqa: ANN401  # of the frame
    run.take({"t": "failed", "run": 1, **frame}, lambda _data: None)
    error = run.ended.exception()
    assert isinstance(error, Exception)
    told = run_error(error, run_id="run_1")
    return told.code, told.message, told.retryable


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("input", "invalid_request", "does not take this: age: no number"),
        ("program", "program_error", "The program failed: age: no number"),
        ("lm", "program_error", "The program failed"),
        ("stopped", "program_error", "The program failed"),
        ("nonsense", "program_error", "The program failed"),
    ],
)
async def test_the_caller_is_told_what_went_wrong(kind: str, code: str, words: str) -> None:
    found = await _told(_a_run(), kind=kind, message="age:\nno number", field="age", id=7)

    assert (found[0], found[2]) == (code, False)
    assert words in found[1]


@pytest.mark.parametrize("number", [[], {}, None, 1.5], ids=["list", "object", "null", "fraction"])
async def test_a_call_that_is_no_number_was_never_made(number: object) -> None:
    assert (await _told(_a_run(), kind="lm", message="m", id=number))[0] == "program_error"


async def test_an_unreadable_answer_says_whether_it_was_cut_off() -> None:
    assert (await _told(_a_run(), kind="adapter_parse"))[2]
    code, message, retryable = await _told(_a_run(finish_reason="length"), kind="adapter_parse")
    assert (code, retryable) == ("adapter_parse", False)
    assert "max_tokens" in message


async def test_what_looks_like_a_key_is_not_repeated() -> None:
    _, message, _ = await _told(_a_run(), kind="program", message="bad sk-abcdefghijklmnopqrstuvwxyz123456 key")

    assert "abcdefghijkl" not in message


async def test_what_comes_after_the_end_does_not_count() -> None:
    run = _a_run()
    run.lose("ended with exit code 7")

    run.take({"t": "done", "run": 1, "prediction": {}}, lambda _data: None)
    run.lose("ended again")

    told = run_error(cast("Exception", run.ended.exception()), run_id="run_1")
    assert (told.code, told.retryable) == ("worker_lost", True)
    assert "exit code 7" in told.message


async def test_a_worker_that_may_run_no_code_says_so() -> None:
    program = dspy.Predict("question -> answer")
    version = confined(interface_of(program), DEMO)

    facts = await produced(producer_of(program, version), run_of(version))

    assert isinstance(facts[-1], Failed)
    assert facts[-1].error.code == "internal"
    assert "may not run the program's code" in facts[-1].error.message
