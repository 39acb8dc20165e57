"""Answers that a job has already paid for."""

from workers.lm.journal import MemoryJournal


async def test_the_first_answer_to_a_key_stands() -> None:
    journal = MemoryJournal()

    assert await journal.put("k", b"first") == b"first"
    assert await journal.put("k", b"second") == b"first"
    assert journal.get("k") == b"first"


async def test_a_full_journal_keeps_what_it_has_and_nothing_more() -> None:
    journal = MemoryJournal(max_bytes=10)
    await journal.put("a", b"12345678")

    assert await journal.put("b", b"123") == b"123"
    assert await journal.put("a", b"123") == b"12345678"
    assert (journal.get("a"), journal.get("b")) == (b"12345678", None)
    assert len(journal) == 1
