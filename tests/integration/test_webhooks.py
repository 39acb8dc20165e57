"""Webhooks over real connections: who is called, in whose name, and what a hostile receiver can do."""

import asyncio
import base64
import hashlib
import hmac
import json
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from dspy_service.adapters.http_webhooks import HttpWebhookSender, plain_transport
from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.domain.webhook import DeliveryAnswer
from dspy_service.domain.webhook_message import tenant_secret
from dspy_service.domain.webhook_policy import WebhookPolicy
from dspy_service.usecases.deliver_webhooks import deliver_webhooks
from tests.support.signed import SECRET_KEY
from tests.support.webhooks import Receiver, an_ended_job, receiving

NAME = "hooks.example"
OK = b"HTTP/1.1 200 OK\r\n"


def sender(*origins: str, tls: ssl.SSLContext | None = None, post_seconds: float = 10.0) -> HttpWebhookSender:
    """Return one that finds every name on this machine, and may call it there."""

    async def rules() -> WebhookPolicy:
        return WebhookPolicy(allowed_origins=frozenset(origins), allow_loopback=True)

    async def here(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    return HttpWebhookSender(rules, resolve=here, transport=plain_transport(tls), post_seconds=post_seconds)


async def post(made: HttpWebhookSender, url: str) -> DeliveryAnswer:
    try:
        return await made.post(url, body=b'{"a":1}', headers={"content-type": "application/json"})
    finally:
        await made.aclose()


async def post_to(receiver: Receiver, *, post_seconds: float = 10.0) -> DeliveryAnswer:
    async with receiving(receiver):
        return await post(sender(post_seconds=post_seconds), f"http://127.0.0.1:{receiver.port}/jobs?a=1")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for one name, signed by itself, with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    subprocess.run(  # noqa: S603  # our own words
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"),
            *("-keyout", "key.pem", "-out", "certificate.pem"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    return tmp_path / "certificate.pem"


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context


async def test_an_ended_job_reaches_its_receiver_with_a_signature_that_holds() -> None:
    jobs, receiver, made = MemoryJobStore(), Receiver(), sender()
    async with receiving(receiver):
        job = await an_ended_job(jobs, url=f"http://127.0.0.1:{receiver.port}/jobs?a=1", tenant="acme")
        await deliver_webhooks(jobs=jobs, sender=made, secret_key=SECRET_KEY)
        await made.aclose()

    (got,) = receiver.posts
    signed = b".".join((got.headers["webhook-id"].encode(), got.headers["webhook-timestamp"].encode(), got.body))
    digest = hmac.digest(tenant_secret(SECRET_KEY, "acme"), signed, hashlib.sha256)
    assert got.url == "/jobs?a=1"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert json.loads(got.body)["data"]["job_id"] == job.job_id
    assert await jobs.due_deliveries(lease_seconds=1) == []


async def test_tls_names_the_host_and_not_the_address(certificate: Path) -> None:
    receiver, server = Receiver(), serving(certificate)
    named: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: named.append(name)
    async with receiving(receiver, tls=server):
        origin = f"https://{NAME}:{receiver.port}"
        trusting = ssl.create_default_context(cafile=certificate)
        answer = await post(sender(origin, tls=trusting), f"{origin}/jobs")

    assert answer == DeliveryAnswer(status=204)
    assert named == [NAME]
    assert receiver.posts[0].headers["host"] == f"{NAME}:{receiver.port}"


async def test_a_certificate_for_another_name_is_refused(certificate: Path) -> None:
    receiver = Receiver()
    async with receiving(receiver, tls=serving(certificate)):
        origin = f"https://other.example:{receiver.port}"
        answer = await post(sender(origin, tls=ssl.create_default_context(cafile=certificate)), f"{origin}/jobs")

    assert (answer.status, answer.reason) == (None, "it was not reached (ConnectError)")
    assert receiver.posts == []


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    receiver = Receiver()
    async with receiving(receiver, tls=serving(certificate)):
        origin = f"https://{NAME}:{receiver.port}"
        answer = await post(sender(origin), f"{origin}/jobs")

    assert (answer.status, answer.reason) == (None, "it was not reached (ConnectError)")
    assert receiver.posts == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    inside = Receiver()
    async with receiving(inside):
        location = f"Location: http://127.0.0.1:{inside.port}/\r\n".encode()
        reply = f"HTTP/1.1 {status} Elsewhere\r\n".encode() + location + b"Content-Length: 0\r\n\r\n"
        answer = await post_to(Receiver(reply=reply))

    assert answer == DeliveryAnswer(status=status)
    assert inside.connections == 0


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, receiver = Receiver(), Receiver()
    async with receiving(proxy):
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        answer = await post_to(receiver)

    assert answer.is_accepted
    assert (proxy.connections, receiver.connections) == (0, 1)


async def test_a_cookie_is_not_kept_and_a_connection_is_not_used_again() -> None:
    receiver = Receiver(reply=OK + b"Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
    made = sender()
    async with receiving(receiver):
        for _ in range(2):
            await made.post(f"http://127.0.0.1:{receiver.port}/", body=b"{}", headers={})
        await made.aclose()

    assert receiver.connections == 2
    assert not any("cookie" in got.headers for got in receiver.posts)


async def test_a_receiver_that_never_answers_is_left_after_a_while() -> None:
    answer = await post_to(Receiver(reply=b""), post_seconds=0.2)

    assert (answer.status, answer.reason) == (None, "there was no answer within 0.2 s")


async def test_an_answer_without_an_end_is_not_read() -> None:
    receiver = Receiver(reply=OK + b"Transfer-Encoding: chunked\r\n\r\n", endless=b"10000\r\n" + b"x" * 65536 + b"\r\n")

    async with asyncio.timeout(5):
        answer = await post_to(receiver)

    assert answer.is_accepted


async def test_a_head_without_an_end_is_no_answer() -> None:
    answer = await post_to(Receiver(reply=OK, endless=b"x-more: " + b"x" * 65536 + b"\r\n"))

    assert (answer.status, answer.reason) == (None, "it was not reached (RemoteProtocolError)")


@pytest.mark.parametrize("reply", [b"nonsense\r\n\r\n", b"HTTP/1.1 99999 Large\r\n\r\n", b"HTTP/1.1 2"])
async def test_what_is_no_http_is_no_answer(reply: bytes) -> None:
    answer = await post_to(Receiver(reply=reply), post_seconds=0.5)

    assert answer.status is None
    assert answer.reason


async def test_a_port_that_nobody_listens_on_is_not_reached() -> None:
    async with receiving(Receiver()) as receiver:
        port = receiver.port

    answer = await post(sender(), f"http://127.0.0.1:{port}/")

    assert (answer.status, answer.reason) == (None, "it was not reached (ConnectError)")
