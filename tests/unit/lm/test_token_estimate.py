"""The guess about a call's tokens comes near what calls really take."""

from dataclasses import replace

import pytest
from dspy.lm15 import Config, Message, Request, Usage

from tests.support.lm_calls import response
from workers.lm.token_estimate import TokenEstimate


def a_request(chars: int, *, system: str | None = None, max_tokens: int | None = None) -> Request:
    return Request(
        model="m", messages=(Message.user("x" * chars),), system=system, config=Config(max_tokens=max_tokens)
    )


def test_the_first_guess_goes_by_the_length_of_the_prompt_and_a_middling_answer() -> None:
    assert TokenEstimate().of(a_request(4_000)) == 1_256
    assert TokenEstimate().of(a_request(4_000, system="y" * 400)) == 1_356


def test_an_answer_is_not_expected_to_be_longer_than_it_may_be() -> None:
    assert TokenEstimate().of(a_request(4_000, max_tokens=10)) == 1_010


def test_guesses_come_near_the_truth() -> None:
    estimate, request = TokenEstimate(), a_request(3_000)
    answer = replace(response("hi"), usage=Usage(input_tokens=1_000, output_tokens=40))

    took = [estimate.learn(request, answer) for _ in range(60)]

    assert set(took) == {1_040}
    assert estimate.of(request) == pytest.approx(1_040, rel=0.05)


@pytest.mark.parametrize("usage", [Usage(), Usage(input_tokens=5), Usage(output_tokens=5)])
def test_nothing_is_learnt_where_the_provider_does_not_say(usage: Usage) -> None:
    estimate, request = TokenEstimate(), a_request(4_000)

    took = estimate.learn(request, replace(response("hi"), usage=usage))

    assert took == 0
    assert estimate.of(request) == 1_256


def test_no_usage_report_however_odd_breaks_the_guess() -> None:
    estimate = TokenEstimate()

    for used in (Usage(input_tokens=10**9, output_tokens=0), Usage(input_tokens=0, output_tokens=0)):
        for _ in range(200):
            estimate.learn(a_request(0), replace(response("hi"), usage=used))

    assert estimate.of(a_request(0)) >= 1
