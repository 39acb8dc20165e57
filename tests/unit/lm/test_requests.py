"""What a runner may ask of a language model."""

import pytest
from dspy.lm15 import Config

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from tests.support.lm_calls import request
from workers.lm.requests import CONFIG_KEYS, admit


def _parts(*parts: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "parts": list(parts)}]}


def test_a_request_goes_to_the_model_of_its_role_whatever_it_names() -> None:
    admitted = admit(request("hi", temperature=0.5), model="wire", max_tokens=10)

    assert admitted.model == "wire"
    assert admitted.config.temperature == 0.5
    assert admitted.messages[0].text == "hi"


@pytest.mark.parametrize(
    "key", ["extensions", "cache", "service_tier", "user_id", "store", "probabilities", "api_base"]
)
def test_options_that_act_on_the_operators_account_are_refused(key: str) -> None:
    with pytest.raises(ModelCallError, match=key) as caught:
        admit(request(**{key: {"api_base": "http://evil"}}), model="wire", max_tokens=10)

    assert caught.value.kind is ModelErrorKind.REFUSED


@pytest.mark.parametrize("key", ["headers", "timeout", "base_url", "api_key", "extensions"])
def test_unknown_fields_beside_the_config_are_refused(key: str) -> None:
    with pytest.raises(ModelCallError, match=key):
        admit({**request(), key: "x"}, model="wire", max_tokens=10)


@pytest.mark.parametrize("max_tokens", [11, "11", 1e9, 0, -1, True])
def test_more_tokens_than_the_cap_are_refused(max_tokens: object) -> None:
    with pytest.raises(ModelCallError, match="from 1 to 10"):
        admit(request(max_tokens=max_tokens), model="wire", max_tokens=10)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "media_type": "image/png", "path": "/etc/passwd"},
        {"type": "document", "media_type": "text/plain", "file_id": "file-of-another-tenant"},
        {"type": "image", "media_type": "image/png", "url": "file:///etc/passwd"},
        {"type": "text", "text": "x", "continuation": [{"provider": "openai", "kind": "id", "data": {}}]},
        {"type": "tool_result", "id": "1", "content": [{"type": "image", "media_type": "image/png", "path": "/x"}]},
        {"type": "unheard-of"},
        {"type": ["text"]},
        "text",
    ],
)
def test_parts_that_reach_beyond_their_own_text_are_refused(part: object) -> None:
    with pytest.raises(ModelCallError) as caught:
        admit(_parts(part), model="wire", max_tokens=10)

    assert caught.value.kind is ModelErrorKind.REFUSED


def test_parts_nested_too_deeply_are_refused() -> None:
    part = {"type": "text", "text": "x"}
    for _ in range(5):
        part = {"type": "tool_result", "id": "1", "content": [part]}

    with pytest.raises(ModelCallError, match="deeply"):
        admit(_parts(part), model="wire", max_tokens=10)


def test_a_built_in_tool_is_refused_and_a_function_is_taken() -> None:
    function = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}

    admitted = admit({**request(), "tools": [function]}, model="wire", max_tokens=10)

    assert admitted.tools[0].name == "f"
    with pytest.raises(ModelCallError, match="function tools"):
        admit({**request(), "tools": [{"type": "builtin", "name": "web_search"}]}, model="wire", max_tokens=10)


def test_pictures_and_system_parts_are_taken() -> None:
    asked = _parts({"type": "image", "media_type": "image/png", "url": "https://example.com/a.png"})

    admitted = admit({**asked, "system": [{"type": "text", "text": "s"}]}, model="wire", max_tokens=10)

    assert admitted.messages[0].parts[0].url == "https://example.com/a.png"


@pytest.mark.parametrize(
    "broken",
    [{}, {"messages": None}, {"messages": [{"role": "user"}]}, {"messages": [{"role": "king", "parts": []}]}, _parts()],
)
def test_what_is_no_request_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ModelCallError) as caught:
        admit(broken, model="wire", max_tokens=10)

    assert caught.value.kind is ModelErrorKind.REFUSED


def test_every_allowed_option_is_one_that_dspys_request_has() -> None:
    assert set(Config.__dataclass_fields__) >= CONFIG_KEYS
