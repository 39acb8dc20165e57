"""What the documents that the project began with promise has a test that is named after it.

Their endpoints are ``e``, their behaviours ``b``, and what their code does wrong is a ``bug``. Left out are those of
search (``e1``, ``b3``) and of deep research (``e3``), which are not served.
"""

import re

from tests.architecture.files import ROOT

_PROMISES = (
    {f"e{number}" for number in range(1, 17)} - {"e1", "e3"}
    | {f"b{number}" for number in range(1, 22)} - {"b3"}
    | {f"bug_{number}" for number in range(1, 9)}
    | {f"events_of_seed_00{number}" for number in range(4)}
)
_NAME = re.compile(r"def test_((?:(?:e|b|bug_|events_of_seed_)\d+_(?:and_)?)+)")
_PROMISE = re.compile(r"(?:e|b|bug_|events_of_seed_)\d+")


def test_every_promise_has_a_test_that_is_named_after_it() -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")]

    named = {promise for text in texts for names in _NAME.findall(text) for promise in _PROMISE.findall(names)}

    assert sorted(_PROMISES - named) == []
