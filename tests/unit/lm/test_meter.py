"""What a job's models cost."""

import pytest

from dspy_service.domain.journal_totals import JournalTotals
from tests.support.lm_calls import entry
from workers.lm.meter import Meter


def _meter() -> Meter:
    return Meter({"task": "openai/m", "prompt": "openai/p"}, prices_as_of="2026-01-02")


def test_every_paid_entry_counts_for_the_role_that_caused_it() -> None:
    meter = _meter()

    for number, role in enumerate(["task", "task", "prompt"]):
        meter.enter(entry(number, role=role))
    usage = meter.usage()

    assert (usage.total_calls, usage.total_tokens, usage.cost_usd) == (3, 15, 1.5)
    assert (usage.roles["task"].calls, usage.roles["task"].prompt_tokens) == (2, 6)
    assert (usage.roles["prompt"].completion_tokens, usage.roles["prompt"].cost_usd) == (2, 0.5)
    assert usage.roles["task"].model == "openai/m"
    assert usage.prices_as_of == "2026-01-02"


def test_what_another_job_paid_for_is_free() -> None:
    meter = _meter()

    meter.enter(entry(1, origin="cache"))
    usage = meter.usage()

    assert (usage.total_calls, usage.total_tokens, usage.cost_usd) == (0, 0, None)
    assert (usage.roles["task"].shared_cache_calls, usage.roles["task"].cost_usd) == (1, None)


def test_a_refusal_is_a_failed_call() -> None:
    meter = _meter()

    meter.enter(entry(1, origin="refusal", cost_usd=0.0))

    assert meter.usage().roles["task"].failed_calls == 1
    assert meter.usage().total_calls == 0


def test_a_model_without_a_price_is_named_and_the_sum_is_unknown() -> None:
    meter = _meter()
    meter.enter(entry(1))
    known = meter.usage()

    meter.enter(entry(2, role="prompt", cost_usd=None))
    usage = meter.usage()

    assert (known.cost_usd, known.unpriced_models) == (0.5, [])
    assert (usage.cost_usd, usage.unpriced_models) == (None, ["model"])
    assert (usage.roles["task"].cost_usd, usage.roles["prompt"].cost_usd) == (0.5, None)


def test_calls_whose_tokens_are_a_guess_are_counted_apart_whoever_found_them() -> None:
    meter = _meter()

    meter.enter(entry(1))
    meter.enter(entry(2, is_estimated=True))
    meter.enter(entry(3, role="prompt", is_estimated=True))
    meter.enter_totals(JournalTotals(1, "prompt", "openai/p", 4, 40, 5, 0.25, 0, 3))
    usage = meter.usage()

    assert (usage.total_calls, usage.total_tokens, usage.estimated_calls) == (7, 60, 5)
    assert (usage.roles["task"].estimated_calls, usage.roles["prompt"].estimated_calls) == (1, 4)
    assert usage.cost_usd == 1.75


def test_roles_that_nobody_asked_are_left_out() -> None:
    meter = _meter()

    meter.roles["prompt"].cached_calls += 1

    assert set(meter.usage().roles) == {"prompt"}


def test_an_answer_of_a_role_that_the_job_no_longer_names_counts_too() -> None:
    meter = _meter()

    meter.enter(entry(1, role="reflection"))

    assert meter.usage().roles["reflection"].calls == 1


def test_the_hit_rate_is_the_share_of_requests_that_needed_no_call() -> None:
    meter = _meter()
    before = meter.usage().cache_hit_rate
    for number in range(6):
        meter.enter(entry(number, origin="cache" if number == 5 else "provider"))
    meter.roles["task"].cached_calls = 2
    meter.roles["prompt"].failed_calls = 2

    assert before is None
    assert meter.usage().cache_hit_rate == pytest.approx(3 / 10)
