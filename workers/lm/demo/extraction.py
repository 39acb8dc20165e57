"""Copy a short answer out of the input, by what demonstrations and rules say of its shape and place."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from workers.lm.demo.lessons import Lessons
from workers.lm.demo.spans import Span, find_spans, shape_of

_WEIGHTS: Final = {"shape": 2.0, "form": 1.0, "before": 1.2, "after": 0.4, "rank": 0.3}
_SMOOTHING: Final = 0.3
_RULE_COUNT: Final = 3.0  # a rule in the instruction weighs as much as three demonstrations
_HINTS: Final = (
    (r"mail|email", r"\S+@\S+"),
    (r"date|day|when|deadline", r"\d{1,4}[./-]\d{1,2}[./-]\d{2,4}"),
    (r"url|link|website", r"https?://.*"),
    (r"amount|price|total|cost|sum", r"[$€£]\s?\d.*|\d+[.,]\d{2}"),
    (r"id|no|number|code|ref|reference|phone|zip|year|count|age|quantity", r".*\d.*"),
    (r"name|person|author|city|country|company|place|who", r"[A-Z][a-z].*"),
)


@dataclass
class _Counts:
    right: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: Counter[tuple[str, str]] = field(default_factory=Counter)
    rights: float = 0.0
    wrongs: float = 0.0

    def add(self, span: Span, *, is_right: bool) -> None:
        (self.right if is_right else self.wrong).update(_traits(span))
        self.rights += is_right
        self.wrongs += not is_right

    def score(self, span: Span) -> float:
        total = 0.0
        for trait in _traits(span):
            right = (self.right[trait] + _SMOOTHING) / (self.rights + 1)
            wrong = (self.wrong[trait] + _SMOOTHING) / (self.wrongs + 1)
            total += _WEIGHTS[trait[0]] * math.log(right / wrong)
        return total


def extract(
    name: str, text: str, demos: Sequence[tuple[str, str]], rules: Lessons, instruction: str
) -> tuple[str, str]:
    """Pick the span that fits best.

    Args:
        name: The output field.
        text: The input to copy from.
        demos: Pairs of input text and answer.
        rules: Rules read from the instruction.
        instruction: The instruction itself, for phrases such as "starting with ORD-".

    Returns:
        The answer and a true sentence on why it was picked.
    """
    counts = _learn(demos)
    ruled = _follow(counts, rules, name) + _follow_phrases(counts, instruction)
    longest = max((len(answer.split()) for _, answer in demos), default=1)
    spans = find_spans(text, longest)
    if not spans:
        return "", "the input is empty"
    if not (counts.rights or ruled):
        return _guess(name, spans), f"nothing in the prompt says what a {name} looks like, so this is a guess"
    best = max(spans, key=counts.score)
    source = f"{len(demos)} demonstrations" if demos else "the rules in the instruction"
    place = f' after "{best.before}"' if best.before else ""
    return best.text, f'"{best.text}" has the shape {best.shape}{place}, which fits {source} best'


def _learn(demos: Sequence[tuple[str, str]]) -> _Counts:
    counts = _Counts()
    for text, answer in demos:
        for span in find_spans(text, max(1, len(answer.split()))):
            counts.add(span, is_right=span.text == answer)
    return counts


def _follow(counts: _Counts, rules: Lessons, name: str) -> int:
    spoken = name.replace("_", " ")
    known = {key.replace("_", " "): key for key in (*rules.shapes, *rules.after, *rules.not_after)}
    key = known.get(spoken)
    if key is None:
        return 0
    for shape in rules.shapes.get(key, ()):
        _believe(counts, "shape", shape)
    for word in rules.after.get(key, ()):
        _believe(counts, "before", word)
    for word in rules.not_after.get(key, ()):
        counts.wrong["before", word] += int(_RULE_COUNT)
    return 1


def _follow_phrases(counts: _Counts, instruction: str) -> int:
    found = 0
    for start in re.findall(r"(?:start|begin)(?:s|ing)? with [\"'`]?([\w#-]+)", instruction):
        _believe(counts, "form", start.rstrip("-#").upper())
        found += 1
    for example in re.findall(r"(?:such as|like|e\.g\.|for example) [\"'`]?([\w@.-]*\d[\w@.-]*\w)", instruction):
        _believe(counts, "shape", shape_of(example))
        found += 1
    for digits in re.findall(r"(\d+)[- ]digit", instruction):
        _believe(counts, "shape", "9" * min(int(digits), 30))
        found += 1
    return found


def _believe(counts: _Counts, kind: str, value: str) -> None:
    counts.right[kind, value] += int(_RULE_COUNT)
    counts.rights += 1


def _traits(span: Span) -> Iterator[tuple[str, str]]:
    yield "shape", span.shape
    yield "form", _form(span.text)
    yield "before", span.before
    yield "after", span.after
    yield "rank", str(min(span.rank, 2))


def _form(text: str) -> str:
    """The leading letters of an id ("ORD"), or what kind of text it is."""
    if not any(char.isdigit() for char in text):
        return "title" if text[:1].isupper() else "word"
    letters = re.match(r"[^\W\d_]+", text)
    return letters[0].upper() if letters else f"digits{min(len(text), 9)}"


def _guess(name: str, spans: Sequence[Span]) -> str:
    parts = set(re.split(r"[_\W]+", name.lower()))
    for hint, pattern in _HINTS:
        if parts & set(hint.split("|")):
            matches = (s.text for s in spans if re.fullmatch(pattern, s.text))
            return next(matches, spans[0].text)
    return max(spans, key=lambda span: len(span.text)).text
