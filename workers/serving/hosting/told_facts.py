"""What a confined program tells of one run, checked and set right before any reader sees it."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import FailFast, Field, JsonValue, TypeAdapter, ValidationError

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.serving.interface import ProgramInterface
from dspy_service.domain.serving.run_events import FieldDone, RunFact, StatusNoted, TextReplaced, TokenWritten
from workers.serving.field_streams.field_writer import REASONING_FIELDS
from workers.serving.progress import TakesFacts
from workers.supervisor.plain_text import one_line

_Told = Annotated[StatusNoted | TokenWritten | TextReplaced | FieldDone, Field(discriminator="type")]
_FACTS: Final[TypeAdapter[list[_Told]]] = TypeAdapter(Annotated[list[_Told], FailFast()])
_STAGES: Final = frozenset({"module", "lm", "tool"})
_WHOLE_PROGRAM: Final = "self"
_MAX_TURN: Final = 1_000_000
_FLAT_VALUES: Final = 10  # of a fact whose value is not nested, itself included

_Place = tuple[str, str, int]
"""Predictor, field and turn."""


class _Text:
    """What readers have of one field."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.length = 0

    @property
    def whole(self) -> str:
        self.pieces = ["".join(self.pieces)]
        return self.pieces[0]


class ToldFacts:
    """Holds a run to the promise of ``run_events``: the texts of a field come to its final value.

    The confined program is not believed: places in texts are counted here, and a value that differs from the text
    before it replaces that text.

    Args:
        interface: Of the program; only its fields are part of a prediction.
        facts: Where they go.
        max_facts: That a run may tell; each value inside another one counts as a fact.
        max_chars: Of all its texts together.
    """

    def __init__(self, interface: ProgramInterface, facts: TakesFacts, *, max_facts: int, max_chars: int) -> None:
        self._texts_of_answers = {field.name for field in interface.outputs if field.is_text}
        self._outputs = [field.name for field in interface.outputs]
        self._facts = facts
        self._facts_left = max_facts
        self._chars_left = max_chars
        self._texts: dict[_Place, _Text] = {}
        self._values: dict[str, tuple[_Place, JsonValue]] = {}
        """Of each field, what was said last."""

    def take(self, raw: object) -> None:
        """Take the facts of one frame.

        Raises:
            ProtocolError: they are none that a program may tell, or more than a run may have.
        """
        self._charge(raw)
        try:
            told = _FACTS.validate_python(raw)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)[0]
            raise ProtocolError(f"It told a fact that is none: {found['msg'][:200]}.") from error
        self._facts.add(*(fact for each in told for fact in self._right(each)))

    def predicted(self, values: Mapping[str, Any]) -> dict[str, JsonValue]:
        """Return the prediction, in the order of the program's outputs, after all texts were made to say the same."""
        prediction = {name: values[name] for name in self._outputs if name in values}
        for name, value in prediction.items():
            self._facts.add(*self._settled(name, value))
        return prediction

    def _charge(self, raw: object) -> None:
        """Count what a frame costs our loop, before it does: also one that tells nothing."""
        told = len(raw) if isinstance(raw, list) else 0
        self._facts_left -= max(1, told, _count_values(raw) - told * _FLAT_VALUES)
        if self._facts_left < 0:
            raise ProtocolError("It told more facts than a run may have.")

    def _right(self, fact: _Told) -> Iterable[RunFact]:
        match fact:
            case StatusNoted():
                return [self._status(fact)]
            case TokenWritten():
                return self._more(self._place(fact), fact.text)
            case TextReplaced():
                return self._replaced(self._place(fact), fact.text)
            case FieldDone():
                return self._done(self._place(fact), fact.value)

    def _status(self, fact: StatusNoted) -> StatusNoted:
        if fact.stage not in _STAGES or fact.phase not in {"start", "end"}:
            raise ProtocolError(f"A program may not tell of the stage {fact.stage!r}.")
        return fact.model_copy(update={"name": one_line(fact.name), "message": one_line(fact.message)})

    @staticmethod
    def _place(fact: TokenWritten | TextReplaced | FieldDone) -> _Place:
        if fact.turn > _MAX_TURN:
            raise ProtocolError("It counts more turns than a run may have.")
        return one_line(fact.predictor), one_line(fact.field), fact.turn

    def _more(self, place: _Place, text: str) -> list[RunFact]:
        if not text:
            return []
        self._count(len(text))
        written = self._texts.setdefault(place, _Text())
        predictor, field, turn = place
        kind: Literal["token", "reasoning"] = "reasoning" if field in REASONING_FIELDS else "token"
        token = TokenWritten(type=kind, field=field, predictor=predictor, text=text, offset=written.length, turn=turn)
        written.pieces.append(text)
        written.length += len(text)
        return [token]

    def _replaced(self, place: _Place, text: str) -> list[RunFact]:
        self._count(len(text))
        written = self._texts[place] = _Text()
        written.pieces, written.length = [text], len(text)
        predictor, field, turn = place
        return [TextReplaced(field=field, predictor=predictor, text=text, turn=turn)]

    def _done(self, place: _Place, value: JsonValue) -> list[RunFact]:
        predictor, field, turn = place
        self._count(_size(value))
        self._values[field] = (place, value)
        facts: list[RunFact] = []
        if place in self._texts or (field in self._texts_of_answers and isinstance(value, str)):
            facts = self._completed(place, value if isinstance(value, str) else "")
        return [*facts, FieldDone(field=field, predictor=predictor, value=value, turn=turn)]

    def _completed(self, place: _Place, final: str) -> list[RunFact]:
        written = self._texts.get(place)
        sent = written.whole if written is not None else ""
        if final.startswith(sent):
            return self._more(place, final[len(sent) :])
        return self._replaced(place, final)

    def _settled(self, field: str, value: JsonValue) -> list[RunFact]:
        """Return what is still to be said so that a field's last value is the prediction's."""
        place, said = self._values.get(field, (None, None))
        if place is not None and said == value:
            return []
        last = next((each for each in reversed(self._texts) if each[1] == field), None)
        return self._done(place or last or (_WHOLE_PROGRAM, field, 0), value)

    def _count(self, chars: int) -> None:
        self._chars_left -= chars
        if self._chars_left < 0:
            raise ProtocolError("It wrote more text than a run may have.")


def _count_values(raw: object) -> int:
    found, waiting = 0, [raw]
    while waiting:
        found += 1
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
    return found


def _size(value: JsonValue) -> int:
    try:
        return len(json.dumps(value, allow_nan=False))
    except ValueError as error:
        raise ProtocolError("It told a value that is no JSON.") from error
