"""When a failed call is tried again."""

import pytest

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from workers.lm.retry import RetryPolicy

_POLICY = RetryPolicy(max_attempts=4, max_total_seconds=60, first_delay_seconds=1, max_delay_seconds=8)


def _error(kind: ModelErrorKind = ModelErrorKind.SERVER, retry_after_seconds: float | None = None) -> ModelCallError:
    return ModelCallError(kind, "no", retry_after_seconds=retry_after_seconds)


def test_waits_double_up_to_a_cap() -> None:
    policy = RetryPolicy(max_attempts=9, max_total_seconds=1000, first_delay_seconds=1, max_delay_seconds=8)

    delays = [policy.delay_seconds(_error(), attempt=n, elapsed_seconds=0, jitter=1.0) for n in range(1, 7)]

    assert delays == [1, 2, 4, 8, 8, 8]


def test_jitter_takes_at_most_half_of_a_wait() -> None:
    assert _POLICY.delay_seconds(_error(), attempt=1, elapsed_seconds=0, jitter=0.0) == 0.5


def test_the_providers_own_wait_wins() -> None:
    asked = _error(ModelErrorKind.RATE_LIMIT, retry_after_seconds=17.0)

    assert _POLICY.delay_seconds(asked, attempt=1, elapsed_seconds=0, jitter=0.0) == 17


def test_it_gives_up_after_the_last_attempt() -> None:
    assert _POLICY.delay_seconds(_error(), attempt=4, elapsed_seconds=0, jitter=0.0) is None


@pytest.mark.parametrize(("retry_after", "elapsed"), [(60.0, 0.1), (10.0, 55.0), (None, 59.9)])
def test_it_begins_no_wait_that_would_end_too_late(retry_after: float | None, elapsed: float) -> None:
    error = _error(retry_after_seconds=retry_after)

    assert _POLICY.delay_seconds(error, attempt=1, elapsed_seconds=elapsed, jitter=1.0) is None


@pytest.mark.parametrize("kind", [ModelErrorKind.RATE_LIMIT, ModelErrorKind.SERVER])
def test_a_provider_that_asks_for_a_day_is_tried_again_after_a_minute(kind: ModelErrorKind) -> None:
    asked = _error(kind, retry_after_seconds=86_400.0)

    assert _POLICY.delay_seconds(asked, attempt=1, elapsed_seconds=0, jitter=0.0) == 60


def test_a_rate_limit_is_borne_longer_than_any_number_of_attempts() -> None:
    refused = _error(ModelErrorKind.RATE_LIMIT)

    delay = _POLICY.delay_seconds(refused, attempt=5_000, elapsed_seconds=1_700, jitter=1.0)

    assert delay == 8


@pytest.mark.parametrize(("retry_after", "elapsed"), [(100_000.0, 1_760.0), (60.0, 1_760.0), (None, 1_799.5)])
def test_a_rate_limit_is_not_borne_for_ever(retry_after: float | None, elapsed: float) -> None:
    refused = _error(ModelErrorKind.RATE_LIMIT, retry_after)

    assert _POLICY.delay_seconds(refused, attempt=1, elapsed_seconds=elapsed, jitter=1.0) is None


@pytest.mark.parametrize("kind", [kind for kind in ModelErrorKind if not kind.is_transient])
def test_what_would_fail_again_is_not_tried_again(kind: ModelErrorKind) -> None:
    assert _POLICY.delay_seconds(_error(kind), attempt=1, elapsed_seconds=0, jitter=0.0) is None
