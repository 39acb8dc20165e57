"""What one reader has put together of a run, and what is wrong with it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from httpx_sse import ServerSentEvent

from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run_events import RunEvent, TokenWritten
from tests.support.serving_stage import numbers


@dataclass
class Reading:
    """The events of a run, folded as they come, over as many connections as it takes."""

    number: int
    """Of the question."""
    run_id: str = ""
    conversation_id: str = ""
    last_seq: int = 0
    texts: dict[str, str] = field(default_factory=dict)
    """By field."""
    told: list[tuple[int, int, str]] = field(default_factory=list)
    """Tokens: the number before, the own number, the text. A reader who is behind gets several joined into one."""
    replaced: int = 0
    """Texts that were taken back."""
    finals: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    """Statuses: there must be one."""
    error_code: str | None = None
    connections: int = 0
    complaints: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The answer."""
        return self.texts.get("answer", "")

    @property
    def is_lost(self) -> bool:
        """Whether its worker died."""
        return self.ends == ["failed"] and self.error_code == "worker_lost"

    def take(self, message: ServerSentEvent) -> None:
        """Take one numbered event."""
        event, seq = json.loads(message.data), int(message.id)
        is_text = message.event in {"token", "reasoning"}
        if seq <= self.last_seq or (seq > self.last_seq + 1 and not is_text) or self.ends:
            self.complaints.append(f"{message.event} {seq} came after {self.last_seq} ({self.ends})")
        if is_text:
            self.told.append((self.last_seq, seq, event["text"]))
        self.last_seq = seq
        match message.event:
            case "token":
                self._write(event)
            case "replace":
                self.replaced += 1
                self.texts[event["field"]] = event["text"]
            case "final":
                self.finals.append(event["answer"])
            case "error":
                self.error_code = event["error"]["code"]
            case "end":
                self.ends.append(event["status"])
            case _:
                pass  # it shows nothing of the answer

    def _write(self, event: Mapping[str, Any]) -> None:
        before = self.texts.get(event["field"], "")
        if event["offset"] != len(before):
            self.complaints.append(f"token {self.last_seq} belongs at {event['offset']}, not at {len(before)}")
        self.texts[event["field"]] = before + event["text"]

    def compare(self, record: Mapping[str, Any]) -> None:
        """Hold it against what ``GET /runs/{id}`` says after the end."""
        told = (record["status"], record["last_seq"], (record["prediction"] or {}).get("answer"))
        got = (*self.ends, self.last_seq, None if self.is_lost else self.text)
        if told != got:
            self.complaints.append(f"the record says {told}, the reader got {got}")

    def compare_message(self, message: Mapping[str, Any], answer: str) -> None:
        """Hold it against the answer that its conversation keeps.

        A process that dies between the two writes of an end has told the whole answer to the conversation alone, until
        others tell of the loss.
        """
        partial = (self.text, "partial" if self.text else "failed")
        told, allowed = (
            (message["text"], message["status"]),
            {(answer, "complete"), *([partial] if self.is_lost else [])},
        )
        if told not in allowed or message["run_id"] != self.run_id:
            self.complaints.append(f"the conversation has {told} of {message['run_id']}, must be one of {allowed}")

    def faults(self, answer: str, log: Sequence[RunEvent]) -> list[str]:
        """Return what must not be.

        Args:
            answer: As it must be in the end, unless the worker died.
            log: All events of the run, from the store.
        """
        found = list(self.complaints)
        texts = [event.fact.text if isinstance(event.fact, TokenWritten) else None for event in log]
        found += [
            f"token {seq} after {before} is {text!r}, the log has {texts[before:seq]}"
            for before, seq, text in self.told
            if None in texts[before:seq] or "".join(map(str, texts[before:seq])) != text
        ]
        logged = FieldTexts.of(event.fact for event in log).text("answer")
        if numbers(list(log)) != list(range(1, len(log) + 1)):
            found.append(f"the log has the numbers {numbers(list(log))}")
        if [event.seq for event in log if event.fact.type == "end"] != [len(log)] or self.last_seq != len(log):
            found.append(f"the log of {len(log)} events does not end once, where the reader ended: {self.last_seq}")
        if logged != self.text:
            found.append(f"the log says {logged!r}, the reader got {self.text!r}")
        if self.is_lost and self.finals:
            found.append("it was told its final answer, and then that its worker was lost")
        if not self.is_lost and (self.ends, self.text, self.finals) != (["completed"], answer, [answer]):
            found.append(f"{self.ends} {self.error_code}: {self.text!r}, final {self.finals}, must be {answer!r}")
        return [f"question {self.number}, run {self.run_id}: {each}" for each in found]
