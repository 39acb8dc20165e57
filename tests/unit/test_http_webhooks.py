"""A webhook is posted to an address that was checked, in the name of its host, and nothing else is called."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from dspy_service.adapters.http_webhooks import HttpWebhookSender
from dspy_service.domain.errors import ForbiddenAddressError
from dspy_service.domain.webhook import DeliveryAnswer
from dspy_service.domain.webhook_policy import WebhookPolicy

PUBLIC, OTHER_PUBLIC, PUBLIC_V6 = "93.184.215.14", "1.1.1.1", "2606:4700::1111"
STRICT = WebhookPolicy()
NAMED = WebhookPolicy(allowed_origins=frozenset({"http://inside.example:8080"}))
OPEN = WebhookPolicy(allow_loopback=True)


class Called(httpx.AsyncBaseTransport):
    """Answers for every address, or as a test says."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(204)) -> None:
        self.requests: list[httpx.Request] = []
        self.is_closed = False
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer(request)

    async def aclose(self) -> None:
        self.is_closed = True


def sender(
    transport: httpx.AsyncBaseTransport,
    *addresses: str,
    policy: WebhookPolicy = STRICT,
    resolve: Callable[[str, int], Awaitable[Sequence[str]]] | None = None,
    post_seconds: float = 5.0,
) -> HttpWebhookSender:
    async def rules() -> WebhookPolicy:
        return policy

    async def found(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return HttpWebhookSender(rules, resolve=resolve or found, transport=transport, post_seconds=post_seconds)


async def post(made: HttpWebhookSender, url: str = "https://hooks.example/jobs?a=1") -> DeliveryAnswer:
    try:
        return await made.post(url, body=b"{}", headers={"webhook-id": "msg_1"})
    finally:
        await made.aclose()


async def test_the_request_goes_to_the_checked_address_in_the_name_of_the_host() -> None:
    transport = Called()

    answer = await post(sender(transport, PUBLIC), "https://hooks.example:8443/jobs?a=1")

    (request,) = transport.requests
    assert answer == DeliveryAnswer(status=204)
    assert str(request.url) == f"https://{PUBLIC}:8443/jobs?a=1"
    assert request.headers["host"] == "hooks.example:8443"
    assert request.extensions["sni_hostname"] == "hooks.example"
    assert (request.method, request.headers["webhook-id"], request.content) == ("POST", "msg_1", b"{}")
    assert transport.is_closed


async def test_an_ipv6_address_is_called_too() -> None:
    transport = Called()

    await post(sender(transport, PUBLIC_V6))

    assert str(transport.requests[0].url) == f"https://[{PUBLIC_V6}]/jobs?a=1"


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["::1"],
        ["fe80::1%eth0"],
        ["fd00::1"],
        ["::ffff:10.0.0.1"],
        ["2002:a00:1::1"],
        ["64:ff9b::a00:1"],
        ["224.0.0.1"],
        ["0.0.0.0"],  # noqa: S104  # an address to refuse
        [PUBLIC, "10.1.2.3"],
        ["10.1.2.3", PUBLIC],
        [PUBLIC, PUBLIC, PUBLIC, PUBLIC, "127.0.0.1"],
    ],
)
async def test_a_host_with_one_private_address_is_not_called(addresses: list[str]) -> None:
    transport = Called()

    with pytest.raises(ForbiddenAddressError, match="private address"):
        await post(sender(transport, *addresses))

    assert transport.requests == []


async def test_a_name_is_looked_up_once_for_the_check_and_for_the_connection() -> None:
    lookups = iter([[PUBLIC], ["127.0.0.1"]])
    transport = Called()

    async def rebinding(_host: str, _port: int) -> Sequence[str]:
        return next(lookups)

    await post(sender(transport, resolve=rebinding))

    assert [request.url.host for request in transport.requests] == [PUBLIC]


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example/", "https://user:word@hooks.example/", "https://127.0.0.1/", "https://localhost/", "x"],
)
async def test_what_the_rules_of_the_moment_refuse_is_not_even_looked_up(url: str) -> None:
    looked_up: list[str] = []

    async def note(host: str, _port: int) -> Sequence[str]:
        looked_up.append(host)
        return [PUBLIC]

    with pytest.raises(ForbiddenAddressError):
        await post(sender(Called(), resolve=note), url)

    assert looked_up == []


async def test_an_origin_that_the_operator_named_may_be_private_and_plain() -> None:
    transport = Called()

    answer = await post(sender(transport, "10.1.2.3", policy=NAMED), "http://inside.example:8080/jobs")

    assert answer.is_accepted
    assert str(transport.requests[0].url) == "http://10.1.2.3:8080/jobs"


async def test_a_named_origin_opens_no_other_port_of_its_host() -> None:
    with pytest.raises(ForbiddenAddressError):
        await post(sender(Called(), "10.1.2.3", policy=NAMED), "https://inside.example:8443/jobs")


async def test_this_machine_is_called_in_open_mode_only() -> None:
    transport = Called()

    answer = await post(sender(transport, "127.0.0.1", policy=OPEN), "http://localhost:9000/")
    with pytest.raises(ForbiddenAddressError):
        await post(sender(Called(), "127.0.0.1"), "http://localhost:9000/")

    assert answer.is_accepted
    assert len(transport.requests) == 1


async def test_the_next_address_is_tried_when_one_takes_no_connection() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == PUBLIC:
            raise httpx.ConnectError("no route")
        return httpx.Response(204)

    transport = Called(answer)

    told = await post(sender(transport, PUBLIC, OTHER_PUBLIC))

    assert told.is_accepted
    assert [request.url.host for request in transport.requests] == [PUBLIC, OTHER_PUBLIC]


async def test_a_message_that_may_have_arrived_is_not_sent_to_the_next_address() -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("reset")

    transport = Called(answer)

    told = await post(sender(transport, PUBLIC, OTHER_PUBLIC))

    assert told == DeliveryAnswer(status=None, reason="it was not reached (ReadError)")
    assert len(transport.requests) == 1


async def test_a_host_with_many_addresses_is_not_tried_for_ever() -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("silence")

    transport = Called(refuse)

    told = await post(sender(transport, *[PUBLIC, OTHER_PUBLIC] * 10))

    assert told.reason == "it was not reached (ConnectTimeout)"
    assert len(transport.requests) == 3


async def test_a_host_without_an_address_is_not_reached() -> None:
    async def unknown(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    nowhere = await post(sender(Called(), resolve=unknown))
    empty = await post(sender(Called()))

    assert (nowhere.status, nowhere.reason) == (None, "it was not reached (gaierror)")
    assert (empty.status, empty.reason) == (None, "it was not reached (OSError)")


async def test_a_name_server_that_is_silent_takes_no_longer_than_a_post_may() -> None:
    async def silent(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    told = await post(sender(Called(), resolve=silent, post_seconds=0.01))

    assert (told.status, told.reason) == (None, "there was no answer within 0.01 s")


@pytest.mark.parametrize("write", [lambda _: "3600", lambda when: format_datetime(when, usegmt=True)])
async def test_a_wish_to_wait_is_read_as_seconds_or_as_a_time(write: Callable[[datetime], str]) -> None:
    said = write(datetime.now(UTC) + timedelta(hours=1))
    transport = Called(lambda _: httpx.Response(503, headers={"retry-after": said}))

    told = await post(sender(transport, PUBLIC))

    assert told.status == 503
    assert 3000 <= (told.retry_after_seconds or 0) <= 3600


@pytest.mark.parametrize(
    "said",
    ["soon", "-5", "Fri, 02 Jan 1970 00:00:00 GMT", "", "9" * 400, "²", "Fri, 02 Jan 2099 00:00:00 +99999999999999"],
)
async def test_no_wish_to_wait_is_made_of_nonsense(said: str) -> None:
    headers = [(b"retry-after", said.encode())]

    told = await post(sender(Called(lambda _: httpx.Response(503, headers=headers)), PUBLIC))

    assert told.retry_after_seconds is None or told.retry_after_seconds < 1e9


async def test_of_an_answer_only_the_head_is_read() -> None:
    class Body(httpx.AsyncByteStream):
        is_closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            pytest.fail("the body was read")
            yield b""

        async def aclose(self) -> None:
            self.is_closed = True

    body = Body()

    told = await post(sender(Called(lambda _: httpx.Response(200, stream=body)), PUBLIC))

    assert told.is_accepted
    assert body.is_closed


async def test_the_machines_own_lookup_is_the_default() -> None:
    transport = Called()

    async def rules() -> WebhookPolicy:
        return OPEN

    await post(HttpWebhookSender(rules, transport=transport), "http://127.0.0.1:9000/")

    assert [str(request.url) for request in transport.requests] == ["http://127.0.0.1:9000/"]
