"""What a user reads when submitted code fails."""

import pytest
from dspy.utils.exceptions import LMAuthError

from workers.runner.failures import METRIC_FILE, Cancelled, JobFailed, Stopped, describe, failure_of, user_traceback


def _raised(source: str) -> Exception:
    space: dict[str, object] = {}
    try:
        exec(compile(source, METRIC_FILE, "exec"), space)  # noqa: S102  # the test's own source
    except Exception as error:  # noqa: BLE001  # the test wants any
        return error
    pytest.fail("the source must raise")


def test_only_frames_of_the_user_are_shown() -> None:
    trace = user_traceback(_raised("def f(x):\n    return 1 / x\n\nf(0)\n"))

    assert trace.splitlines()[0] == "Traceback (most recent call last):"
    assert 'File "<metric_code>", line 4, in <module>' in trace
    assert 'File "<metric_code>", line 2, in f' in trace
    assert trace.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert "test_failures" not in trace


def test_the_last_line_of_a_library_is_shown_without_our_paths() -> None:
    trace = user_traceback(_raised("import json\njson.loads('{')\n"))

    assert 'File "decoder.py", line' in trace
    assert "/" not in trace


def test_what_led_to_an_error_is_shown_first() -> None:
    trace = user_traceback(_raised("try:\n    {}['a']\nexcept KeyError:\n    raise ValueError('second')\n"))

    assert trace.index("KeyError: 'a'") < trace.index("ValueError: second")
    assert "led to the following" in trace


def test_a_cause_that_was_silenced_is_not_shown() -> None:
    trace = user_traceback(_raised("try:\n    {}['a']\nexcept KeyError:\n    raise ValueError('only') from None\n"))

    assert "KeyError" not in trace


def test_the_message_is_one_line_that_names_the_place() -> None:
    assert describe(_raised("\nraise ValueError('a\\nb')")) == "ValueError: a b (<metric_code>, line 2)"


def test_an_error_without_words_still_has_a_message() -> None:
    assert describe(KeyError()) == "KeyError"


def test_an_error_whose_text_raises_is_described() -> None:
    source = "class E(Exception):\n    def __str__(self):\n        raise ValueError\n\nraise E\n"

    error = _raised(source)

    assert "<its __str__ raised ValueError>" in describe(error)
    assert "<its __str__ raised ValueError>" in user_traceback(error)


def test_a_very_long_message_is_cut() -> None:
    assert len(describe(ValueError("x" * 10_000))) == 500


def test_a_model_error_is_named_as_one_wherever_it_hides() -> None:
    error = RuntimeError("optimizer gave up")
    error.__cause__ = LMAuthError("no key.", model="openai/m", code="auth")

    failure = failure_of(error, kind="optimizer_error")

    assert failure.kind == "model_error"
    assert failure.message == (
        "The language model call failed (auth): [openai/m] no key. "
        "The operator's key for this provider is missing or wrong."
    )


def test_a_failure_that_was_described_before_is_kept() -> None:
    first = failure_of(ValueError("v"), kind="metric_error")

    assert failure_of(JobFailed(first), kind="optimizer_error") is first


def test_a_stop_that_leaves_no_program_is_a_failure_of_its_reason() -> None:
    failure = failure_of(Stopped("budget_exhausted", "5 USD of 5 are spent.\nNo more."), kind="optimizer_error")

    assert (failure.kind, failure.message) == ("budget_exhausted", "5 USD of 5 are spent. No more.")
    assert failure.traceback is None


def test_a_cancel_and_a_lack_of_memory_have_kinds_of_their_own() -> None:
    assert failure_of(Cancelled(), kind="x").kind == "cancelled"
    assert failure_of(MemoryError(), kind="x").kind == "out_of_memory"
