"""Times are written in one form."""

from datetime import UTC, datetime, timedelta, timezone

from dspy_service.domain.times import write_utc


def test_six_decimals_are_always_written() -> None:
    assert write_utc(datetime(2025, 11, 30, 7, 15, tzinfo=UTC)) == "2025-11-30T07:15:00.000000Z"


def test_other_zones_become_utc() -> None:
    local = datetime(2025, 11, 30, 8, 15, 0, 5, tzinfo=timezone(timedelta(hours=1)))

    assert write_utc(local) == "2025-11-30T07:15:00.000005Z"
