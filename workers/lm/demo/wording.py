"""Turn text into the weighted features that the demo model compares."""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from workers.lm.demo.lexicon import GROUPS_OF, STOPWORDS, stem

_WORD: Final = re.compile(r"[^\W\d_][\w'-]*[^\W_]|[^\W\d_]|\d{3,}")
GROUP_WEIGHT: Final = 1.0  # a related word is as good as the word: the groups are small


def content_words(text: str) -> list[str]:
    """Lower-case words of a text in order, without stop words and short numbers."""
    words = (word.lower().removesuffix("'s") for word in _WORD.findall(text.replace("\u2019", "'")))
    return [word for word in words if len(word) > 1 and word not in STOPWORDS]


@lru_cache(maxsize=8192)
def features(text: str) -> Mapping[str, float]:
    """Stems of the content words and their groups of related words, with their weights."""
    found: dict[str, float] = {}
    for word in content_words(text):
        root = stem(word)
        found[root] = 1.0
        for group in GROUPS_OF.get(root, ()):
            found[f"~{group}"] = GROUP_WEIGHT
    return MappingProxyType(found)


def says(text: str, phrase: str) -> bool:
    """Whether a text names a phrase as whole words, whatever the case."""
    pattern = r"(?<!\w)" + re.escape(phrase.replace("_", " ")) + r"(?!\w)"
    return re.search(pattern, text.replace("_", " "), re.IGNORECASE) is not None
