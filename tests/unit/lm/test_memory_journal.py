"""Answers that live as long as their process."""

from tests.support.lm_calls import entry
from workers.lm.journal import MemoryJournal


async def test_the_first_answer_to_a_key_stands() -> None:
    journal = MemoryJournal()

    assert await journal.keep(entry(1)) == entry(1)
    assert await journal.keep(entry(1, answer=b'"response":"second"')) == entry(1)
    assert journal.find(entry(1).key).entry == entry(1)


async def test_a_full_journal_keeps_what_it_has_and_nothing_more() -> None:
    journal = MemoryJournal(max_bytes=12)
    first, second = entry(1, answer=b"1234567890"), entry(2, answer=b"123")
    await journal.keep(first)

    assert await journal.keep(second) == second
    assert await journal.keep(entry(1, answer=b"123")) == first
    assert (journal.find(first.key).entry, journal.find(second.key)) == (first, None)
    assert len(journal) == 1
