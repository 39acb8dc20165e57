"""What the chat page is made of, each module alone in a real browser: the parser of events, and the texts of a run."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.support.api_process import api_process
from tests.support.browser import chromium, require_chromium

STREAM = (
    ": a comment\r\n\r\n"
    "retry: 500\n\n"
    "id: 1\r\nevent: token\r\ndata: é𝄞\r\n\r\n"
    "data: first\rdata:second\r\rdata\n\n"
    "id: 3\n\n"
    "data: {}\n\n"
    "data: never ended\n"
)
MESSAGES = [
    {"id": "1", "event": "token", "data": "é𝄞"},
    {"id": "1", "event": "message", "data": "first\nsecond"},
    {"id": "1", "event": "message", "data": ""},
    {"id": "3", "event": "message", "data": "{}"},
]
READ = """async ([bytes, cuts]) => {
    const { messages } = await import("/chat-assets/sse.js");
    async function* pieces(cut) {
        yield new Uint8Array(bytes.slice(0, cut));
        yield new Uint8Array(bytes.slice(cut));
    }
    const found = [];
    for (const cut of cuts) {
        found.push([]);
        for await (const message of messages(pieces(cut))) found.at(-1).push(message);
    }
    return found;
}"""
SPELL = """async (events) => {
    const { Texts } = await import("/chat-assets/texts.js");
    const texts = new Texts();
    events.forEach((event) => texts.apply(event));
    return [texts.answer, texts.reasoning];
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    path = require_chromium()
    with api_process() as api, chromium(path) as browser:
        page = browser.new_page()
        page.goto(f"{api.url}/chat")
        yield page


def _token(text: str, offset: int, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  # fields of an event
    place = {"field": "answer", "predictor": "self", "turn": 0}
    return {"type": "token", "text": text, "offset": offset, **place, **changes}


def test_messages_are_the_same_wherever_their_bytes_are_cut(page: Page) -> None:
    stream = STREAM.encode()

    found = page.evaluate(READ, [list(stream), list(range(len(stream) + 1))])

    assert found == [MESSAGES] * (len(stream) + 1)


def test_a_token_that_comes_again_changes_nothing(page: Page) -> None:
    events = [_token("é𝄞", 0), _token("é𝄞", 0), _token("𝄞x", 1), _token("y", 3)]

    assert page.evaluate(SPELL, events) == ["é𝄞xy", ""]


def test_text_that_is_taken_back_is_gone(page: Page) -> None:
    events = [_token("wrong", 0), {**_token("𝄞", 0), "type": "replace"}, _token("right", 1)]

    assert page.evaluate(SPELL, events) == ["𝄞right", ""]


def test_a_snapshot_stands_for_all_that_was_there(page: Page) -> None:
    kept = {"field": "answer", "predictor": "self", "turn": 0, "text": "kept"}
    events = [_token("gone", 0, field="other"), {"type": "snapshot", "fields": [kept]}, _token("!", 4)]

    assert page.evaluate(SPELL, events) == ["kept!", ""]


def test_reasoning_stands_apart_and_the_final_answer_is_what_counts(page: Page) -> None:
    events = [
        _token("Because.", 0, type="reasoning", field="reasoning"),
        _token("Draft", 0),
        {"type": "final", "answer": "Done", "prediction": {"reasoning": "Because.", "answer": "Done"}},
    ]

    assert page.evaluate(SPELL, events) == ["Done", "Because."]


def test_several_outputs_stand_under_their_names(page: Page) -> None:
    events = [_token("A", 0, field="title"), _token("B", 0, field="body")]

    assert page.evaluate(SPELL, events) == ["title: A\n\nbody: B", ""]


def test_reasoning_is_folded_and_sources_are_listed(page: Page) -> None:
    shown = page.evaluate(
        """async (events) => {
            const { MessageView } = await import("/chat-assets/view.js");
            const view = new MessageView(document.getElementById("messages"), "assistant");
            events.forEach((event) => view.apply(event));
            const part = (selector) => view.element.querySelector(selector);
            return [part("details").hidden, part("details").open, part(".reasoning").textContent,
                    part(".sources").textContent, part("h2").textContent];
        }""",
        [
            _token("Because.", 0, type="reasoning", field="reasoning"),
            {"type": "sources", "sources": [{"id": "p1", "title": "A <b>paper</b>", "authors": ["Ada"], "year": 1979}]},
            {"type": "end", "status": "completed"},
        ],
    )

    assert shown == [False, False, "Because.", "[p1] A <b>paper</b> Ada 1979", "Program"]
