"""Running totals of what a full journal does not keep."""

import pytest

from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.journal_entry import JournalEntry
from dspy_service.domain.journal_segment import SegmentHead, decode_segment, encode_segment
from dspy_service.domain.journal_totals import JournalTotals, condensed, is_totals, newest
from tests.support.lm_calls import entry

KEY = b"k" * 32
TOTALS = JournalTotals(7, "task", "openai/gpt", 3, 40, 5, 0.25, 1, 2)


def test_a_total_is_read_as_it_was_written() -> None:
    assert JournalTotals.parse(TOTALS.text()) == TOTALS


def test_a_total_is_told_from_an_answer_and_neither_is_read_as_the_other() -> None:
    assert (is_totals(TOTALS.text()), is_totals(entry(1).text())) == (True, False)
    with pytest.raises(ValueError, match="not those of a journal's entry"):
        JournalEntry.parse(TOTALS.text())
    with pytest.raises(ValueError, match="not those of running totals"):
        JournalTotals.parse(entry(1).text())


def test_a_total_survives_as_the_last_of_a_segment() -> None:
    head = SegmentHead(tenant="local", job_id="job", fence=1, number=1)
    texts = [entry(1).text(), TOTALS.text()]

    assert decode_segment(encode_segment(head, texts, key=KEY), head, key=KEY) == texts


def test_of_the_totals_of_one_owner_the_last_word_stands_in_any_order() -> None:
    later = TOTALS.plus(entry(1, is_estimated=True)).plus(entry(2, cost_usd=None))
    other = JournalTotals(8, "task", "openai/gpt", 1)

    assert list(newest([later, TOTALS, other, TOTALS]).values()) == [later, other]
    assert (later.calls, later.prompt_tokens, later.completion_tokens) == (5, 46, 9)
    assert (later.cost_usd, later.unpriced_calls, later.estimated_calls) == (0.75, 2, 3)


def test_a_part_of_a_journal_is_condensed_to_its_answers_and_last_words() -> None:
    later = TOTALS.plus(entry(1))
    texts = [TOTALS.text(), entry(1).text(), later.text(), entry(2).text()]

    assert condensed(texts) == [entry(1).text(), entry(2).text(), later.text()]


@pytest.mark.parametrize(
    "text",
    [
        b'[1,"totals",7,"task","m",3,40,5,0.25]\nnull',
        b'[1,"totals",7,"task","m",-3,40,5,0.25,1,0]\nnull',
        b'[1,"totals",7,"task","m",true,40,5,0.25,1,0]\nnull',
        b'[1,"totals",7,"task",null,3,40,5,0.25,1,0]\nnull',
        b'[1,"totals",7,8,"m",3,40,5,0.25,1,0]\nnull',
        b'[1,"totals",7,"task","m",3,40,5,null,1,0]\nnull',
        b'[1,"totals",7,"task","m",3,40,5,0.25,1,-1]\nnull',
        b"{}\nnull",
        b"[]",
        b"",
    ],
)
def test_what_is_no_total_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"totals|JSON|EOF"):
        JournalTotals.parse(text)


def test_the_totals_of_a_newer_release_are_not_guessed_at() -> None:
    with pytest.raises(ConfigurationError, match="upgrade this process"):
        JournalTotals.parse(b'[2,"totals"]\nnull')
