"""A webhook leads to the public internet, or to what the operator named; to nothing else."""

import pytest

from dspy_service.domain.errors import UnsupportedRequestError
from dspy_service.domain.webhook import Webhook
from dspy_service.domain.webhook_policy import WebhookPolicy, is_public_address

STRICT = WebhookPolicy()
NAMED = WebhookPolicy(allowed_origins=frozenset({"http://10.0.0.7:9000"}))
OPEN = WebhookPolicy(allow_loopback=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example",
        "https://hooks.example:8443/jobs?team=a&key=b",
        "https://93.184.215.14/jobs",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/jobs",
    ],
)
def test_public_https_addresses_are_accepted(url: str) -> None:
    STRICT.check(Webhook(url=url))


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/jobs",
        "ftp://hooks.example",
        "hooks.example",
        "https://user@hooks.example",
        "https://user:word@hooks.example",
        "https://hooks.example/#part",
        "https://hooks.example/?q=#part",
        "https://hooks.example/?a b",
        "https://hooks.example\\@evil.example",
        "https://10.0.0.7",
        "https://127.0.0.1",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1",
        "https://224.0.0.1",
        "https://[::1]",
        "https://[fe80::1]",
        "https://[fd00::1]",
        "https://[64:ff9b::7f00:1]",
        "https://[2002:7f00:1::]",
        "https://2130706433",
        "https://localhost:8443",
        "https://api.localhost",
    ],
)
def test_everything_else_is_refused_with_its_field(url: str) -> None:
    with pytest.raises(UnsupportedRequestError, match=r"^webhook\.url: ") as caught:
        STRICT.check(Webhook(url=url))

    assert caught.value.field == "webhook.url"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("https://hooks.example/#part", "must not hold a fragment"),
        ("https://hooks.example/?q=#part", "must not hold a fragment"),
        ("https://user:word@hooks.example/?q=1", "must not hold a user name or password"),
        ("https://hooks.example/?a b", "must hold a plain query: printable ASCII characters without spaces"),
    ],
)
def test_what_is_wrong_is_said_exactly(url: str, sentence: str) -> None:
    with pytest.raises(UnsupportedRequestError) as caught:
        STRICT.check(Webhook(url=url))

    assert str(caught.value) == f"webhook.url: {sentence}"


def test_an_operator_can_name_an_origin() -> None:
    NAMED.check(Webhook(url="http://10.0.0.7:9000/jobs?a=1"))

    with pytest.raises(UnsupportedRequestError):
        NAMED.check(Webhook(url="http://10.0.0.7:9001/jobs"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/", "http://localhost:9000/", "https://[::1]:9000/"])
def test_in_open_mode_this_machine_may_be_told(url: str) -> None:
    OPEN.check(Webhook(url=url))


def test_open_mode_opens_nothing_else() -> None:
    with pytest.raises(UnsupportedRequestError):
        OPEN.check(Webhook(url="http://10.0.0.7:9000/"))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("192.168.1.1", False),
        ("0.0.0.0", False),  # noqa: S104  # an address to refuse, not to listen on
        ("255.255.255.255", False),
        ("2606:4700::1111", True),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.215.14", True),
        ("64:ff9b::5db8:d70e", True),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::1", False),
        ("2001:0:a00:1::", False),
        ("fe80::1%eth0", False),
        ("ff02::1", False),
        ("fec0::1", False),
        ("::7f00:1", False),
        ("64:ff9b:1::a00:1", False),
        ("100.64.0.1", False),
    ],
)
def test_an_address_is_public_with_all_that_it_carries(address: str, public: bool) -> None:  # noqa: FBT001  # a case
    assert is_public_address(address) is public
