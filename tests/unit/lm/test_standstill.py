"""What the owner of a job is told while a provider refuses its calls."""

from dspy_service.domain.throttle import CallGrant, ProviderWait
from tests.support.throttles import Clock
from workers.lm.standstill import Standstill

SILENT = CallGrant(calls=0, wait_seconds=5, silence_seconds=8, refusals=3)


def test_it_begins_with_the_first_refusal_and_ends_with_an_answer() -> None:
    clock = Clock()
    standstill = Standstill("openai", clock)
    standstill.note_refusal()
    clock.now += 4
    standstill.note_refusal()
    clock.now += 3

    lasting = standstill.wait
    standstill.end()

    assert lasting == ProviderWait(provider="openai", seconds=7, silence_seconds=0, refusals=1)
    assert standstill.wait is None
    assert standstill.seconds == 0


def test_a_job_that_waits_since_others_were_refused_stands_still_too_and_knows_until_when() -> None:
    clock = Clock()
    standstill = Standstill("openai", clock)
    standstill.note_grant(SILENT)
    clock.now += 3

    assert standstill.wait == ProviderWait(provider="openai", seconds=3, silence_seconds=5, refusals=3)


def test_a_probe_that_goes_is_no_end_and_a_wait_for_the_operators_limits_is_no_standstill() -> None:
    clock = Clock()
    refused, limited = Standstill("openai", clock), Standstill("openai", clock)
    refused.note_grant(SILENT)
    clock.now += 8

    refused.note_grant(CallGrant(calls=1, wait_seconds=1))
    limited.note_grant(CallGrant(calls=0, wait_seconds=4))
    clock.now += 1

    assert refused.seconds == 9
    assert limited.wait is None


def test_a_standstill_of_which_nobody_has_spoken_for_long_is_over() -> None:
    clock = Clock()
    standstill = Standstill("openai", clock)
    standstill.note_refusal()
    clock.now += 31

    forgotten = standstill.wait
    standstill.note_refusal()
    clock.now += 2

    assert forgotten is None
    assert standstill.seconds == 2
