"""What examples teach, as data and as English: the one form in which prompts carry rules.

The proposer learns lessons from the examples it is shown and writes them as sentences; the same sentences, read
back from an instruction, are what the answering side follows.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from workers.lm.demo.lexicon import GROUPS_OF, stem
from workers.lm.demo.spans import Span, find_spans, shape_of
from workers.lm.demo.wording import content_words

_CHOOSE: Final = re.compile(r'Choose "([^"\n]+)" when the ([\w ]+?) mentions: ([^.\n]*)')
_SHAPE: Final = re.compile(r'The ([\w ]+?) looks like "([^"\n]+)"')
_AFTER: Final = re.compile(r"The ([\w ]+?) comes after: ([^.\n]*)")
_NOT_AFTER: Final = re.compile(r"The ([\w ]+?) never comes after: ([^.\n]*)")

_LONGEST_LABEL: Final = 60  # characters; a longer answer is prose, which words do not choose


@dataclass(frozen=True)
class Shown:
    """One example as an optimizer shows it.

    Attributes:
        inputs: Input fields of the example.
        output_name: The field that was to be predicted.
        gold: The right value, or None when only `wrong` is known.
        wrong: The value that was predicted instead, if it was wrong.
    """

    inputs: dict[str, str]
    output_name: str
    gold: str | None
    wrong: str | None = None

    @property
    def text(self) -> str:
        """All inputs as one text."""
        return "\n".join(self.inputs.values())


@dataclass
class Lessons:
    """Evidence gathered from examples; counts say how often it was seen."""

    input_name: str = "input"
    words: dict[str, Counter[str]] = field(default_factory=dict)
    shapes: dict[str, Counter[str]] = field(default_factory=dict)
    after: dict[str, Counter[str]] = field(default_factory=dict)
    not_after: dict[str, Counter[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is anything to write down."""
        return bool(self.words or self.shapes)

    def sentences(self, most: int) -> list[str]:
        """Write the lessons as rules of at most `most` words each."""
        told = ((label, self.telling_words(label)[:most]) for label in sorted(self.words))
        lines = [
            f'Choose "{label}" when the {self.input_name} mentions: {", ".join(words)}.'
            for label, words in told
            if words
        ]
        for name, shapes in sorted(self.shapes.items()):
            lines += [f'The {name} looks like "{shape}".' for shape, _ in shapes.most_common(4)]
            after = [word for word, _ in self.after.get(name, Counter()).most_common(most)]
            never = [w for w, _ in self.not_after.get(name, Counter()).most_common() if w not in after][:most]
            lines += [f"The {name} comes after: {', '.join(after)}."] if after else []
            lines += [f"The {name} never comes after: {', '.join(never)}."] if never else []
        return lines

    def telling_words(self, label: str) -> list[str]:
        """Words of a label, the most telling first; words that belong more to another label are left out."""
        groups = {name: _group_counts(counts) for name, counts in self.words.items()}
        scored = []
        for order, (word, count) in enumerate(self.words[label].items()):
            elsewhere = max((c[word] for name, c in self.words.items() if name != label), default=0)
            if count > elsewhere:
                related = max((_margin(groups, label, group) for group in GROUPS_OF.get(stem(word), ())), default=0.0)
                scored.append((elsewhere - count - 2 * related, order, word))
        return [word for _, _, word in sorted(scored)]

    def merge(self, other: "Lessons") -> None:
        """Add what another text or another set of examples taught."""
        if other and self.input_name == "input":
            self.input_name = other.input_name
        for mine, theirs in (
            (self.words, other.words),
            (self.shapes, other.shapes),
            (self.after, other.after),
            (self.not_after, other.not_after),
        ):
            for key, counts in theirs.items():
                mine.setdefault(key, Counter()).update(counts)


@lru_cache(maxsize=256)
def read_lessons(text: str) -> Lessons:
    """Read back every rule that was written in the form of `Lessons.sentences`."""
    found = Lessons()
    for label, input_name, words in _CHOOSE.findall(text):
        found.input_name = input_name
        found.words.setdefault(label, Counter()).update(_listed(words))
    for name, shape in _SHAPE.findall(text):
        found.shapes.setdefault(name, Counter())[shape] += 1
    for pattern, target in ((_AFTER, found.after), (_NOT_AFTER, found.not_after)):
        for name, words in pattern.findall(text):
            target.setdefault(name, Counter()).update(_listed(words))
    return found


def without_rules(text: str) -> str:
    """The text without the sentences that `read_lessons` understands."""
    for pattern in (_CHOOSE, _SHAPE, _AFTER, _NOT_AFTER):
        text = re.sub(r"[-*• ]*" + pattern.pattern + r"\.?[ \t]*\n?", "", text)
    return text.strip()


def learn(examples: Sequence[Shown]) -> Lessons:
    """Learn from examples: a copied output teaches its shape and place, any other short one teaches words."""
    found = Lessons()
    known = [e for e in examples if e.gold]
    if known:
        found.input_name = " and ".join(name.replace("_", " ") for name in known[0].inputs)
    copied = [e for e in known if e.gold and e.gold in e.text and not e.gold.isalpha()]
    if len(copied) * 2 > len(known):
        _learn_copying(found, copied)
    else:
        _learn_words(found, [e for e in known if e.gold and len(e.gold) <= _LONGEST_LABEL])
    return found


def unlearn(rules: Lessons, examples: Iterable[Shown]) -> None:
    """Drop the words that led to a wrong answer from the label that was answered."""
    for example in examples:
        if example.wrong in rules.words:
            said = {stem(word) for word in content_words(example.text)}
            counts = rules.words[example.wrong]
            for word in [word for word in counts if stem(word) in said]:
                del counts[word]


def _learn_words(found: Lessons, examples: Sequence[Shown]) -> None:
    for example in examples:
        counts = found.words.setdefault(example.gold or "", Counter())
        by_stem = {stem(word): word for word in counts}
        for word in dict.fromkeys(content_words(example.text)):
            # One spelling per word, so that "charge" and "charged" count together.
            counts[by_stem.setdefault(stem(word), word)] += 1


def _learn_copying(found: Lessons, examples: Sequence[Shown]) -> None:
    for example in examples:
        name, gold = example.output_name, example.gold or ""
        found.shapes.setdefault(name, Counter())[shape_of(gold)] += 1
        for span in find_spans(example.text):
            _learn_place(found, name, span, is_gold=span.text == gold)
    for name, after in found.after.items():
        for word in after & found.not_after.get(name, Counter()):
            del found.not_after[name][word]


def _learn_place(found: Lessons, name: str, span: Span, *, is_gold: bool) -> None:
    if span.before and (is_gold or any(char.isdigit() for char in span.text)):
        target = found.after if is_gold else found.not_after
        target.setdefault(name, Counter())[span.before] += 1


def _group_counts(words: Counter[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for group in GROUPS_OF.get(stem(word), ()):
            counts[group] += count
    return counts


def _margin(groups: dict[str, Counter[str]], label: str, group: str) -> float:
    """How much more a group of related words belongs to a label than to any other; at most 1."""
    own = groups[label][group]
    return (own - max((c[group] for name, c in groups.items() if name != label), default=0)) / (own + 1)


def _listed(words: str) -> list[str]:
    return [word for word in (part.strip().lower() for part in words.split(",")) if word]
