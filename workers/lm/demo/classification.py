"""Choose one of several options from the rules and demonstrations of a prompt."""

import math
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from workers.lm.demo.drawing import Draw
from workers.lm.demo.lessons import read_lessons
from workers.lm.demo.lexicon import stem
from workers.lm.demo.wording import content_words, features, says

Example = tuple[str, str]
"""Input text and option."""

_SMOOTHING: Final = 0.3
_TWIN_WEIGHT: Final = 6.0  # a demonstration with nearly the same text settles the matter
_TWIN: Final = 0.6
_NEGATION: Final = re.compile(
    r"\b(?:but not|not when|never|unless|except|rather than|instead of|avoid)\b", re.IGNORECASE
)
_GLUE: Final = frozenset(features("choose answer reply label classify route assign pick mention mentions text when"))

Counts = Mapping[str, Mapping[str, float]]
"""How often each feature was seen with each option."""


@dataclass
class Case:
    """What speaks for one option."""

    score: float = 0.0
    words: list[tuple[float, str]] = field(default_factory=list)
    twin: str = ""


def choose(
    text: str, options: Sequence[str], demos: Sequence[Example], instruction: str, draw: Draw
) -> tuple[str, str]:
    """Pick an option by naive Bayes over everything that the prompt says.

    Names of options, rules and demonstrations all count as small texts about an option.

    Args:
        text: The input.
        options: The options, in the order of the prompt.
        demos: The demonstrations of the prompt.
        instruction: The instruction, which may hold rules.
        draw: Breaks ties; at a temperature above 0 it also adds noise.

    Returns:
        The option and a true sentence on why it was picked.
    """
    said = features(text)
    cases = {option: Case() for option in options}
    _weigh(cases, said, _evidence(tuple(options), tuple(demos), instruction))
    _find_twins(cases, said, demos)
    noisy = {option: case.score + draw.noise(option) for option, case in cases.items()}
    best = max(noisy.values())
    top = [option for option, score in noisy.items() if score == best]
    chosen = draw.settle(text, top)
    return chosen, _explain(chosen, cases[chosen], text, guessed=len(top) > 1)


@lru_cache(maxsize=64)
def _evidence(options: tuple[str, ...], demos: tuple[Example, ...], instruction: str) -> Counts:
    counts: dict[str, dict[str, float]] = {option: {} for option in options}
    for option, weights in read_rules(instruction, options).items():
        _count(counts[option], weights)
    for option in options:
        _count(counts[option], features(option.replace("_", " ")))
    for text, option in demos:
        if option in counts:
            _count(counts[option], features(text))
    return counts


def _count(counts: dict[str, float], weights: Mapping[str, float]) -> None:
    for word, weight in weights.items():
        counts[word] = counts.get(word, 0.0) + weight


def _weigh(cases: Mapping[str, Case], said: Mapping[str, float], counts: Counts) -> None:
    for word, weight in said.items():
        seen = {option: max(0.0, counts[option].get(word, 0.0)) for option in cases}
        expected = sum(seen.values()) / len(seen) + _SMOOTHING
        if not any(counts[option].get(word) for option in cases):
            continue
        for option, case in cases.items():
            gain = weight * math.log((seen[option] + _SMOOTHING) / expected)
            gain += min(0.0, counts[option].get(word, 0.0))  # the rules speak against it
            case.score += gain
            if gain > 0:
                case.words.append((-gain, word))


def _find_twins(cases: Mapping[str, Case], said: Mapping[str, float], demos: Sequence[Example]) -> None:
    for text, option in demos:
        found = features(text)
        shared = len(said.keys() & found.keys())
        if option in cases and shared and shared >= _TWIN * len(said.keys() | found.keys()):
            cases[option].score += _TWIN_WEIGHT
            cases[option].twin = text


@lru_cache(maxsize=256)
def read_rules(instruction: str, options: tuple[str, ...]) -> Counts:
    """Read what an instruction says of each option: signed weights of words.

    It understands its own sentences ("Choose X when the text mentions: a, b"), and any line or sentence that names
    exactly one option ("billing: refund, invoice", "If they ask for a refund, answer billing, but not when …").
    """
    rules: dict[str, dict[str, float]] = {option: {} for option in options}
    for segment in re.split(r"\n|;|(?<=[.!?])\s+", instruction):
        named = [option for option in options if says(segment, option)]
        own = next(iter(read_lessons(segment).words.items()), None)
        if own and own[0] in rules:
            for word in own[1]:
                _count(rules[own[0]], features(word))
        elif len(named) == 1:
            _read_sentence(rules[named[0]], segment, _GLUE | features(named[0]).keys())
    return MappingProxyType(rules)


def _read_sentence(weights: dict[str, float], segment: str, skip: AbstractSet[str]) -> None:
    wanted, *unwanted = _NEGATION.split(segment)
    for sign, part in ((1.0, wanted), *((-1.0, part) for part in unwanted)):
        for word in content_words(part):
            found = {k: sign * v for k, v in features(word).items() if k not in skip}
            _count(weights, found)


def _explain(option: str, case: Case, text: str, *, guessed: bool) -> str:
    if case.twin:
        return f'it is nearly the demonstration "{case.twin[:60].strip()}", which is {option}'
    telling = [word for _, word in sorted(case.words)[:5]]
    words = [word for word in dict.fromkeys(content_words(text)) if stem(word) in telling]
    groups = [word[1:] for word in telling if word.startswith("~")]
    if words:
        return f"the prompt links {', '.join(words)} with {option}"
    if groups:
        return f"the prompt links words about {', '.join(groups)} with {option}"
    if guessed:
        return f"nothing in the prompt tells the options apart, so {option} is a guess"
    return f"{option} is what the prompt speaks against least"
