"""Says with few events what many tokens say, for a reader who is behind."""

from collections.abc import Iterable, Iterator

from dspy_service.domain.serving.run_events import RunEvent, TokenWritten


def coalesced(events: Iterable[RunEvent]) -> list[RunEvent]:
    """Join neighbouring tokens of one field into one event, which has the number and the time of the last of them.

    A reader that stops behind a joined event has seen all that it stands for, so that numbers stay good places to go on
    from. Tokens that do not continue each other's text stay apart.
    """
    return list(_joined(events))


def _joined(events: Iterable[RunEvent]) -> Iterator[RunEvent]:
    pending: list[RunEvent] = []
    end: TokenWritten | None = None
    for event in events:
        fact = event.fact
        if end is not None and not (isinstance(fact, TokenWritten) and continues(fact, end)):
            yield _one(pending)
            pending, end = [], None
        if isinstance(fact, TokenWritten):
            pending.append(event)
            end = fact
        else:
            yield event
    if pending:
        yield _one(pending)


def continues(fact: TokenWritten, before: TokenWritten) -> bool:
    """Whether a token goes on exactly where another one ended."""
    same = ("type", "field", "predictor", "turn")
    return fact.offset == before.offset + len(before.text) and all(
        getattr(fact, name) == getattr(before, name) for name in same
    )


def _one(events: list[RunEvent]) -> RunEvent:
    if len(events) == 1:
        return events[0]
    facts = [event.fact for event in events if isinstance(event.fact, TokenWritten)]
    text = "".join(fact.text for fact in facts)
    return events[-1].model_copy(update={"fact": facts[0].model_copy(update={"text": text})})
