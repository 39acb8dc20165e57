"""What ``submit`` makes of Python objects, and how it hands them in."""

import sys
from typing import Any

import dspy
import httpx
import pytest

from dspy_service.client import SubmissionError
from dspy_service.domain.budget import Budget
from dspy_service.domain.spec import ColumnMapping, JobLimits, ModelSettings, RunRequest, SplitFractions
from dspy_service.domain.webhook import Webhook
from tests.unit.client import subjects
from tests.unit.client.service import ScriptedService, refusal

SUBMITTED = httpx.Response(200, json={"job_id": "j1", "status": "pending", "estimated_remaining_seconds": None})
ROWS = [{"ticket": "Where is it?", "team": "delivery"}, {"ticket": "Refund me", "team": "billing"}]


def submit(**options: Any) -> dict[str, Any]:  # noqa: ANN401  # SubmitOptions
    service = ScriptedService({"/run": [SUBMITTED]})
    with service.client() as client:
        client.submit(subjects.Route, subjects.exact_team, ROWS, **options)
    body: dict[str, Any] = service.body()
    return body


def test_submit_sends_what_the_service_reads() -> None:
    body = submit(optimizer_kwargs={"auto": "light"}, seed=3, metadata={"team": "x"})

    request = RunRequest.model_validate_json(httpx.Request("POST", "http://x", json=body).content)

    assert request.column_mapping == ColumnMapping(inputs={"ticket": "ticket"}, outputs={"team": "team"})
    assert (request.lm.name, request.optimizer_name, request.module_name) == ("demo/in-context", "miprov2", "predict")
    assert (request.seed, request.metadata) == (3, {"team": "x"})
    assert request.dataset == ROWS


def test_submit_hands_on_what_bounds_and_follows_a_job() -> None:
    body = submit(
        budget=Budget(max_usd=2.5, patience=3),
        limits={"max_seconds": 60},
        priority=8,
        cache=True,
        webhook="https://hooks.example/ended",
    )

    request = RunRequest.model_validate_json(httpx.Request("POST", "http://x", json=body).content)

    assert request.budget == Budget(max_usd=2.5, patience=3)
    assert request.limits == JobLimits(max_seconds=60)
    assert (request.priority, request.cache) == (8, True)
    assert request.webhook == Webhook(url="https://hooks.example/ended")


def test_submit_names_every_model_role_and_setting() -> None:
    body = submit(
        module="cot",
        optimizer="dspy.GEPA",
        compile_kwargs={"k": 1},
        model=ModelSettings(name="openai/a", temperature=0.5),
        prompt_model="openai/b",
        task_model={"name": "openai/c"},
        reflection_model="openai/d",
        split=SplitFractions(train=0.5, val=0.25, test=0.25),
        shuffle=False,
    )

    request = RunRequest.model_validate_json(httpx.Request("POST", "http://x", json=body).content)

    assert [lm.name for lm in (request.lm, request.prompt_lm, request.task_lm, request.reflection_lm) if lm] == [
        "openai/a",
        "openai/b",
        "openai/c",
        "openai/d",
    ]
    assert request.split_fractions.train == 0.5
    assert (request.shuffle, request.module_name, request.compile_kwargs) == (False, "cot", {"k": 1})


@pytest.mark.parametrize(
    ("options", "mapping"),
    [
        (
            {"inputs": ["ticket"], "outputs": {"team": "label"}},
            {"inputs": {"ticket": "ticket"}, "outputs": {"team": "label"}},
        ),
        ({"column_mapping": {"ticket": "a", "team": "b"}}, {"ticket": "a", "team": "b"}),
        (
            {"column_mapping": ColumnMapping(inputs={"ticket": "a"}, outputs={"team": "b"})},
            {"inputs": {"ticket": "a"}, "outputs": {"team": "b"}},
        ),
    ],
)
def test_every_form_of_the_mapping_is_taken(options: dict[str, Any], mapping: dict[str, Any]) -> None:
    assert submit(**options)["column_mapping"] == mapping


def test_examples_and_short_signatures_are_taken() -> None:
    service = ScriptedService({"/run": [SUBMITTED]})
    rows = [dspy.Example(question="1+1", answer="2").with_inputs("question")]

    with service.client() as client:
        submitted = client.submit("question -> answer: int", "def metric(gold, pred):\n    return 1.0\n", rows)

    assert submitted.job_id == "j1"
    assert service.body()["dataset"] == [{"question": "1+1", "answer": "2"}]
    assert "answer: int" in service.body()["signature_code"]
    assert service.body()["column_mapping"]["inputs"] == {"question": "question"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dataset": [ROWS[0], {"ticket": float("nan")}]}, r"dataset\.1"),
        ({"dataset": ["a row"]}, r"dataset\.0"),
        ({"signature": "class A: pass"}, "inputs="),
        ({"inputs": "ticket"}, "inputs="),
        ({"column_mapping": {"ticket": "a"}, "inputs": ["ticket"]}, "either"),
    ],
)
def test_what_cannot_be_a_request_is_refused_before_it_is_sent(change: dict[str, Any], sentence: str) -> None:
    service = ScriptedService({})
    arguments = {"signature": subjects.Route, "metric": subjects.exact_team, "dataset": ROWS, **change}

    with service.client() as client, pytest.raises(SubmissionError, match=sentence):
        client.submit(**arguments)

    assert service.requests == []


def test_a_submit_that_breaks_is_sent_again_with_the_same_key() -> None:
    service = ScriptedService({"/run": [httpx.ReadError("cut"), refusal(503, "store_unavailable", "no"), SUBMITTED]})

    with service.client() as client:
        client.submit(subjects.Route, subjects.exact_team, ROWS)

    keys = {request.headers["idempotency-key"] for request in service.requests}
    assert (len(service.requests), len(keys)) == (3, 1)
    assert service.pauses == [0.2, 0.6]


def test_the_users_own_key_is_sent() -> None:
    service = ScriptedService({"/run": [SUBMITTED]})

    with service.client() as client:
        client.submit(subjects.Route, subjects.exact_team, ROWS, idempotency_key="mine")

    assert service.requests[0].headers["idempotency-key"] == "mine"
    assert "idempotency_key" not in service.body()


def test_a_short_signature_needs_dspy_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dspy", None)
    service = ScriptedService({})

    with service.client() as client, pytest.raises(SubmissionError, match="needs dspy"):
        client.submit("question -> answer", "def metric(gold, pred):\n    return 1.0\n", [{"question": "?"}])


def test_a_body_made_elsewhere_is_sent_as_it_is() -> None:
    service = ScriptedService({"/run": [SUBMITTED]})

    with service.client() as client:
        client.submit_payload({"any": "thing"}, idempotency_key="mine")

    assert service.body() == {"any": "thing"}
    assert service.requests[0].headers["idempotency-key"] == "mine"
