"""An origin has one spelling; whatever programs read in different ways has none."""

import pytest

from dspy_service.domain.errors import UnsupportedRequestError
from dspy_service.domain.models_policy import ModelPolicy
from dspy_service.domain.origins import origin_of, page_origin_of
from dspy_service.domain.spec import ModelSettings

DISGUISED = [
    *("http://2130706433/v1", "http://0x7f000001/v1", "http://017700000001/v1"),
    *("http://0x7f.0.0.1", "http://0177.0.0.1", "http://127.1", "http://127.0.1", "http://0", "http://0.0.0"),
    *("http://127.0.0.1.", "http://localhost.", "http://127.0.0.01", "http://127.0.0.1:080", "http://127.0.0.1:"),
    *("http://[::ffff:127.0.0.1]", "http://[::ffff:7f00:1]", "http://[::1%25eth0]", "http://[::1%eth0]"),
    *("http://[::1].evil.example", "http://[::1]evil.example:80", "http://[0:0:0:0:0:0:0:1]", "http://::1"),
    *(
        "http://①②⑦.⓪.⓪.①",
        "http://127。0。0。1",
        "http://ⓛocalhost",
        "http://LOCALHOST\u0131",
        "http://exa\u00admple.com",
    ),
    *(
        "http://lm.example@evil.example",
        "http://lm.example:x@evil.example",
        "http://user@127.0.0.1",
        "http://@127.0.0.1",
    ),
    *("http://lm.example%2eevil.example", "http://lm.example%00.evil.example", "http://127.0.0.1%2f@evil.example"),
    *("http://lm.example\\@evil.example", "http://lm.example\t.evil", "http://lm.example#@evil.example"),
    *("http://lm.example?@evil.example", "//lm.example", "http:lm.example", "http:///lm.example", "https://"),
    *(
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_",
        "unix:///run/x.sock",
        "javascript:1",
        "",
        "http://-lm.example",
    ),
]

LOOPBACK = ["http://127.0.0.1", "http://127.9.9.9:6379", "http://localhost", "http://[::1]"]
PRIVATE = [
    *("http://10.0.0.1", "http://172.16.0.1", "http://192.168.1.1", "http://100.64.0.1", "http://169.254.169.254"),
    *("http://[fd00::1]", "http://[fe80::1]", "http://[::]", "http://0.0.0.0"),
    *("http://metadata.google.internal", "http://redis:6379"),
]
INTERNAL = [*LOOPBACK, *PRIVATE]


@pytest.mark.parametrize("url", DISGUISED)
def test_a_host_that_can_be_read_in_two_ways_is_no_origin(url: str) -> None:
    with pytest.raises(ValueError, match=r"must|is not a URL|neither"):
        origin_of(url)


@pytest.mark.parametrize("url", [*DISGUISED, *INTERNAL])
@pytest.mark.parametrize("listed", [(), ("https://lm.example:443",)])
def test_no_address_inside_is_reached_unless_the_operator_lists_it(url: str, listed: tuple[str, ...]) -> None:
    policy = ModelPolicy(allowed_origins=frozenset(listed))

    with pytest.raises(UnsupportedRequestError, match=r"^model_config\.base_url: "):
        policy.check(ModelSettings(name="openai/x", base_url=url), "model_config")


@pytest.mark.parametrize("url", INTERNAL)
def test_the_operator_may_list_an_address_inside(url: str) -> None:
    policy = ModelPolicy(allowed_origins=frozenset({origin_of(url)}))

    policy.check(ModelSettings(name="openai/x", base_url=f"{url}/v1"), "model_config")


@pytest.mark.parametrize("url", PRIVATE)
def test_open_mode_reaches_nothing_private_but_loopback(url: str) -> None:
    policy = ModelPolicy(allow_loopback=True)

    with pytest.raises(UnsupportedRequestError, match="not an endpoint that this service may call"):
        policy.check(ModelSettings(name="openai/x", base_url=url), "model_config")


@pytest.mark.parametrize("url", LOOPBACK)
def test_open_mode_reaches_loopback(url: str) -> None:
    ModelPolicy(allow_loopback=True).check(ModelSettings(name="openai/x", base_url=url), "model_config")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("HTTPS://Example.COM/v1/", "https://example.com:443"),
        ("http://[::1]", "http://[::1]:80"),
        ("http://10.0.0.1:8080/v1", "http://10.0.0.1:8080"),
        ("http://vllm-1:8000", "http://vllm-1:8000"),
        ("http://my_llm.local", "http://my_llm.local:80"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example:443"),
    ],
)
def test_an_origin_is_written_in_lower_case_with_its_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://App.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://localhost:3000", "http://localhost:3000"),
    ],
)
def test_a_page_has_the_origin_that_its_browser_sends(url: str, origin: str) -> None:
    assert page_origin_of(url) == origin


def test_a_star_is_no_page() -> None:
    with pytest.raises(ValueError, match="must look like"):
        page_origin_of("*")
