"""The chat page in a real browser: a real API, a real serving worker, and a scripted model."""

import asyncio
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from dspy_service.domain.spec import ModelSettings
from tests.support.api_process import Api, api_process
from tests.support.browser import chromium, require_chromium
from tests.support.openai_server import OpenAIServer, Reply, error
from tests.support.processes import wait_until
from tests.support.serving_stage import serving_stage

WORDS = [f"word{number} é𝄞 " for number in range(400)]
LONG = "".join(WORDS[:100]).strip()
LONGER = "".join(WORDS[:250]).strip()
HTML = "<img src=x onerror=\"document.title = 'hurt'\"><b>bold</b> & <script>document.title = 'hurt'</script>"
SECONDS = 30


def _as_asked(body: dict[str, object]) -> Reply:
    asked = str(body["messages"])
    if "slow" in asked:
        return Reply(pieces=WORDS, piece_seconds=0.05)
    if "longer" in asked:  # than an API takes to start
        return Reply(pieces=WORDS[:250], piece_seconds=0.05)
    if "long" in asked:
        return Reply(pieces=WORDS[:100], piece_seconds=0.05)
    if "wrong" in asked:
        return error(400, message="scripted")
    return Reply(text=HTML if "HTML" in asked else "Light scatters.")


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer(_as_asked) as server:
        yield server


@pytest.fixture(scope="module")
def api(provider: OpenAIServer) -> Iterator[Api]:
    """An API that serves ``question -> answer`` as ``qa``, beside one worker; only where there is a browser."""
    require_chromium()
    with api_process() as api, asyncio.Runner() as runner:
        opening = serving_stage(api.store.url, api.folder)
        stage = runner.run(opening.__aenter__())
        try:
            runner.run(stage.deploy(ModelSettings(name="openai/test", base_url=provider.base_url), adapter="text"))
            runner.run(stage.worker())
            yield api
        finally:
            runner.run(opening.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def browser(api: Api) -> Iterator[Browser]:
    with chromium(require_chromium()) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty tab, which remembers nothing; no error of the page itself may go uncaught."""
    context = browser.new_context()
    context.set_default_timeout(SECONDS * 1000)
    page = context.new_page()
    uncaught: list[str] = []
    page.on("pageerror", lambda failure: uncaught.append(str(failure)))
    yield page
    context.close()
    assert uncaught == []


def _ask(page: Page, text: str) -> Locator:
    """Send a message and return the text of its answer."""
    page.get_by_label("Your message").fill(text)
    page.get_by_role("button", name="Send").click()
    return page.locator("article.assistant").last.locator(".answer")


def _has(answer: Locator, text: str) -> None:
    expect(answer).to_have_text(text, timeout=SECONDS * 1000)
    assert (answer.text_content() or "").strip() == text  # exactly, blanks too


def _contains(answer: Locator, text: str) -> None:
    expect(answer).to_contain_text(text, timeout=SECONDS * 1000)


def _note_what_is_drawn(answer: Locator) -> None:
    """Keep every text that the answer had for the reader: the final one alone would hide what came before it."""
    answer.evaluate(
        """(node) => {
            window.drawn = [];
            new MutationObserver(() => window.drawn.push(node.textContent)).observe(node, { childList: true });
        }"""
    )


def _all_of(answer: str, page: Page) -> bool:
    """Whether all that was drawn is a beginning of the answer."""
    drawn = page.evaluate("window.drawn")
    return len(drawn) > 1 and all(f"{answer} ".startswith(text) for text in drawn)


def test_b16_an_answer_is_shown_while_it_is_written(page: Page, api: Api) -> None:
    page.goto(f"{api.url}/chat")
    page.get_by_label("Program").select_option("qa")

    answer = _ask(page, "Be long, please.")

    _note_what_is_drawn(answer)
    _contains(answer, "word3")
    assert "word99" not in (answer.text_content() or "")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    _has(answer, LONG)
    assert _all_of(LONG, page)
    expect(page.get_by_role("button", name="Stop")).to_be_hidden(timeout=SECONDS * 1000)
    expect(page.get_by_role("link", name="Be long, please.")).to_have_attribute("aria-current", "page")


def test_a_killed_api_costs_no_text_and_doubles_none(page: Page, api: Api) -> None:
    with api.sibling() as first:
        page.goto(f"{first.url}/chat")
        answer = _ask(page, "Be longer, whatever happens.")
        _note_what_is_drawn(answer)
        _contains(answer, "word10")

        first.program.process.send_signal(signal.SIGKILL)
        first.program.wait()

        _contains(page.get_by_role("status"), "The connection was lost")
        assert "word249" not in (answer.text_content() or "")
        with first.successor():
            _has(answer, LONGER)
            assert _all_of(LONGER, page)
            expect(page.locator(".problem:visible")).to_have_count(0)


def test_a_reload_keeps_the_conversation_and_goes_on_with_the_answer(page: Page, api: Api) -> None:
    page.goto(f"{api.url}/chat")
    _has(_ask(page, "Why is the sky blue?"), "Light scatters.")
    _contains(_ask(page, "Now be long."), "word3")

    page.reload()

    expect(page.locator("article.user .answer")).to_have_text(["Why is the sky blue?", "Now be long."])
    _has(page.locator("article.assistant .answer").first, "Light scatters.")
    _has(page.locator("article.assistant .answer").last, LONG)


def test_stop_ends_the_answer_and_the_call_of_the_model(page: Page, api: Api, provider: OpenAIServer) -> None:
    page.goto(f"{api.url}/chat")
    answer = _ask(page, "Be slow.")
    _contains(answer, "word3")

    page.get_by_role("button", name="Stop").click()

    _contains(page.get_by_role("alert"), "The answer was stopped.")
    call = next(each for each in provider.received if "Be slow." in str(each.body))
    wait_until(lambda: call.closed_at is not None, seconds=SECONDS)
    assert "word399" not in (answer.text_content() or "")
    expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_b16_an_error_is_shown_and_the_next_message_is_answered(page: Page, api: Api) -> None:
    page.goto(f"{api.url}/chat")
    _ask(page, "Go wrong.")

    expect(page.get_by_role("alert")).to_have_text(re.compile(r"\w+"), timeout=SECONDS * 1000)

    page.get_by_role("button", name="New conversation").click()
    _has(_ask(page, "And after that?"), "Light scatters.")


def test_what_the_service_refuses_is_said(page: Page, api: Api) -> None:
    page.goto(f"{api.url}/chat#conv_of_nobody")

    _contains(page.get_by_role("status"), "conv_of_nobody")


def test_html_in_an_answer_is_text(page: Page, api: Api) -> None:
    page.goto(f"{api.url}/chat")

    answer = _ask(page, "Write <b>HTML</b>.")

    _has(answer, HTML)
    expect(page.locator("article.user .answer")).to_have_text("Write <b>HTML</b>.")
    assert page.locator("article :is(img, b, script)").count() == 0
    assert page.title() == "Chat"


def test_a_key_is_sent_and_kept_for_the_tab_only(page: Page, api: Api) -> None:
    page.goto(f"{api.url}/chat")

    with page.expect_request("**/v1/programs*") as asked:
        page.get_by_label("API key").fill("dsk_abc.def")
        page.get_by_label("API key").press("Tab")

    assert asked.value.headers["authorization"] == "Bearer dsk_abc.def"
    page.reload()
    expect(page.get_by_label("API key")).to_have_value("dsk_abc.def")
    assert page.evaluate("localStorage.length") == 0


def test_the_browser_runs_nothing_from_elsewhere(page: Page, api: Api) -> None:
    answer = page.goto(f"{api.url}/chat")

    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'" in policy
    assert "unsafe" not in policy


def test_an_event_source_reads_an_answer_and_is_not_answered_twice(
    page: Page, api: Api, provider: OpenAIServer
) -> None:
    page.goto(f"{api.url}/chat")

    told = page.evaluate(
        """(path) => new Promise((resolve) => {
            const told = [];
            const source = new EventSource(path);
            source.onmessage = ({ data }) => told.push(JSON.parse(data));
            source.onerror = () => source.readyState === EventSource.CLOSED && resolve(told);
        })""",
        "/chat/stream?message=Why+an+event+source",
    )

    kinds = [each["type"] for each in told]
    assert (kinds[0], kinds[-1], kinds.count("start"), kinds.count("end")) == ("start", "end", 1, 1)
    assert "".join(each["text"] for each in told if each["type"] == "token") == "Light scatters."
    assert sum("Why an event source" in str(each.body) for each in provider.received) == 1
