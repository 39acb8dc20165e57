"""What a catalogue entry must say of itself."""

import pytest
from pydantic import ValidationError

from dspy_service.domain.catalogue.entries import OptimizerEntry


def test_an_entry_is_resumable_and_keeps_no_best_unless_it_says_otherwise() -> None:
    entry = OptimizerEntry(name="mine", factory="acme.Mine")

    assert (entry.resumable, entry.keeps_best) == (True, False)


def test_an_entry_that_is_not_resumable_says_why() -> None:
    entry = OptimizerEntry(
        name="mine", factory="acme.Mine", resumable=False, not_resumable_because="It draws without a seed."
    )

    assert entry.not_resumable_because == "It draws without a seed."


@pytest.mark.parametrize(("resumable", "why"), [(False, ""), (True, "It draws without a seed.")])
def test_the_reason_and_the_flag_must_agree(resumable: bool, why: str) -> None:  # noqa: FBT001  # table columns
    with pytest.raises(ValidationError, match="not_resumable_because"):
        OptimizerEntry(name="mine", factory="acme.Mine", resumable=resumable, not_resumable_because=why)
