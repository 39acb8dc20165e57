"""Every way to get a request wrong: a status, a word, the field's name, and nothing written."""

import json
from typing import Any

import httpx
import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.spec import MAX_SOURCE_BYTES
from tests.unit.api.payloads import GEPA_METRIC, KEY, METRIC, MODEL, SIGNATURE, gepa, payload

ROWS = payload()["dataset"]

MALFORMED = {
    "no signature": (payload(signature_code=None), "signature_code", "is required"),
    "no optimizer": (payload(optimizer_name=None), "optimizer_name", "is required"),
    "no model": (payload(model_config=None), "model_config", "is required"),
    "no rows": (payload(dataset=None), "dataset", "is required"),
    "empty source": (payload(metric_code=""), "metric_code", "is empty"),
    "unknown field": (payload(datasets=[]), "datasets", "not a known field; did you mean 'dataset'"),
    "unknown model field": (payload(model_config={**MODEL, "top_k": 4}), "model_config.top_k", "not a known field"),
    "wrong type": (payload(shuffle="yes"), "shuffle", "must be a valid boolean"),
    "wrong type of a seed": (payload(seed="7"), "seed", "must be a valid integer"),
    "negative seed": (payload(seed=-1), "seed", "must be greater than or equal to 0"),
    "empty dataset": (payload(dataset=[]), "dataset", "is empty; send at least one"),
    "dataset is no list": (payload(dataset={}), "dataset", "must be a valid"),
    "row is no object": (payload(dataset=[*ROWS, 3]), "dataset.20", "must be an object"),
    "empty row": (payload(dataset=[*ROWS, {}]), "dataset.20", "is an empty object"),
    "too many rows": (payload(dataset=ROWS * 11), "dataset", "has 220 rows; at most 200"),
    "empty inputs": (
        payload(column_mapping={"inputs": {}, "outputs": {"answer": "a"}}),
        "column_mapping.inputs",
        "is empty",
    ),
    "mapping of no text": (
        payload(column_mapping={"inputs": {"question": 1}, "outputs": {"answer": "a"}}),
        "column_mapping.inputs.question",
        "must be a valid string",
    ),
    "flat mapping of no text": (payload(column_mapping={"answer": 1}), "column_mapping.answer", "valid string"),
    "mapping is no object": (payload(column_mapping=[]), "column_mapping", "must be an object"),
    "one column in both maps": (
        payload(column_mapping={"inputs": {"question": "q"}, "outputs": {"answer": "q"}}),
        "column_mapping.outputs.answer",
        "already feeds column_mapping.inputs.question",
    ),
    "one column in both maps, flat": (
        payload(column_mapping={"question": "q", "answer": "q"}),
        "column_mapping.outputs.answer",
        "already feeds",
    ),
    "fractions over 1": (
        payload(split_fractions={"train": 0.7, "val": 0.2, "test": 0.2}),
        "split_fractions",
        "is 1.1; make the fractions sum to 1",
    ),
    "negative fraction": (
        payload(split_fractions={"train": 1.2, "val": -0.2, "test": 0}),
        "split_fractions.val",
        "must be greater than or equal to 0",
    ),
    "no training row": (
        payload(split_fractions={"train": 0.01, "val": 0.5, "test": 0.49}),
        "split_fractions.train",
        "leaves no training row of 20",
    ),
    "temperature": (payload(model_config={**MODEL, "temperature": 2.1}), "model_config.temperature", "less than or"),
    "syntax error": (payload(metric_code="def metric(:"), "metric_code", "is not Python: line 1, column 12"),
    "syntax error in the signature": (payload(signature_code="class Q:\n x ="), "signature_code", "line 2, column"),
    "NUL": (payload(signature_code=SIGNATURE + "\0"), "signature_code", "is not Python"),
    "long source": (payload(metric_code="#" * (MAX_SOURCE_BYTES + 1)), "metric_code", "at most 65536"),
    "key as a field": (payload(model_config={**MODEL, "api_key": KEY}), "model_config.api_key", "keys stay with"),
    "key at the top": (payload(openai_api_key=KEY), "openai_api_key", "keys stay with"),
    "key in extra": (
        payload(model_config={**MODEL, "extra": {"api_key": "x"}}),
        "model_config.extra.api_key",
        "secret",
    ),
    "key as a value": (payload(metadata={"note": KEY}), "metadata.note", "looks like a secret"),
    "key in kwargs": (payload(optimizer_kwargs={"wandb_api_key": "x"}), "optimizer_kwargs.wandb_api_key", "secret"),
    "key in a source": (payload(metric_code=METRIC + f'KEY = "{KEY}"'), "metric_code", "line 3 holds what looks like"),
    "user in a URL": (
        payload(model_config={**MODEL, "base_url": "http://me:pass@127.0.0.1/v1"}),
        "model_config.base_url",
        "looks like a secret",
    ),
    "too much metadata": (
        payload(metadata={str(n): "x" for n in range(17)}),
        "metadata",
        "must have at most 16 items",
    ),
    "long metadata": (payload(metadata={"note": "x" * 129}), "metadata.note", "at most 128"),
}

UNSUPPORTED = {
    "unknown optimizer": (payload(optimizer_name="mipro"), "optimizer_name", "did you mean 'miprov2'"),
    "unknown module": (payload(module_name="react"), "module_name", "Available: predict, cot"),
    "unknown kwarg": (payload(optimizer_kwargs={"max_demo": 1}), "optimizer_kwargs.max_demo", "did you mean"),
    "unknown compile kwarg": (payload(compile_kwargs={"trials": 1}), "compile_kwargs.trials", "'num_trials'"),
    "unknown module kwarg": (payload(module_kwargs={"temprature": 1}), "module_kwargs.temprature", "'temperature'"),
    "kwarg type": (payload(optimizer_kwargs={"seed": "9"}), "optimizer_kwargs.seed", "must be an integer"),
    "kwarg bound": (
        payload(optimizer_kwargs={"init_temperature": 3}),
        "optimizer_kwargs.init_temperature",
        "at most 2",
    ),
    "a path": (payload(optimizer_kwargs={"log_dir": "logs"}), "optimizer_kwargs.log_dir", "path on the server"),
    "a run folder": (payload(optimizer_kwargs={"run_dir": "logs"}), "optimizer_kwargs.run_dir", "path on the server"),
    "a file": (payload(compile_kwargs={"save_as_csv": "x.csv"}), "compile_kwargs.save_as_csv", "path on the server"),
    "a service": (gepa(optimizer_kwargs={"auto": "light", "use_wandb": True}), "optimizer_kwargs.use_wandb", "service"),
    "callbacks": (payload(module_kwargs={"callbacks": []}), "module_kwargs.callbacks", "cannot be sent"),
    "kwargs together": (
        payload(optimizer_kwargs={"auto": "light", "num_candidates": 3}),
        "optimizer_kwargs.num_candidates",
        "cannot be combined with auto='light'",
    ),
    "source without a signature": (payload(signature_code="x = 1"), "signature_code", "no subclass of dspy.Signature"),
    "two signatures": (payload(signature_code=SIGNATURE + SIGNATURE.replace("QA", "B")), "signature_code", "(QA, B)"),
    "source without a metric": (payload(metric_code="x = 1"), "metric_code", "declares no function"),
    "arity": (payload(metric_code="def metric(gold): return 1"), "metric_code", "takes 1 positional arguments"),
    "arity of GEPA": (gepa(metric_code=METRIC), "metric_code", "GEPA calls it with"),
    "metric for GEPA only": (
        payload(metric_code=GEPA_METRIC.replace("=None", "")),
        "metric_code",
        "requires 5 arguments and gets at most 3",
    ),
    "signature field is not mapped": (
        payload(column_mapping={"inputs": {"question": "q"}, "outputs": {}}),
        "column_mapping.outputs",
        "misses 'answer'",
    ),
    "unknown signature field": (
        payload(column_mapping={"inputs": {"question": "q", "topic": "t"}, "outputs": {"answer": "a"}}),
        "column_mapping.inputs.topic",
        "QA has no field 'topic'",
    ),
    "missing column": (
        payload(dataset=[*ROWS, {"q": "no answer"}]),
        "column_mapping",
        "column 'a' is missing from dataset row 20",
    ),
    "GEPA without a reflection model": (gepa(reflection_model_config=None), "reflection_model_config", "needs a"),
    "model without a provider": (payload(model_config={"name": "gpt-4o"}), "model_config.name", "<provider>/<model>"),
    "unknown demo model": (payload(model_config={"name": "demo/x"}), "model_config.name", "the only one is"),
    "foreign endpoint": (
        payload(prompt_model_config={"name": "openai/x", "base_url": "https://evil.example/v1"}),
        "prompt_model_config.base_url",
        "not an endpoint that this service may call",
    ),
    "unknown option": (payload(model_config={**MODEL, "extra": {"logprobs": 1}}), "model_config.extra.logprobs", ""),
}

NOT_JSON = {
    "nothing": (b"", "", "the body is empty"),
    "text": (b"hello", "", "line 1, column 1"),
    "half": (b'{"seed": 7,', "", "line 1, column 12"),
    "an array": (b"[]", "", "must be an object"),
    "NaN": (b'{"dataset": [{"q": 1}, {"q": NaN}]}', "dataset.1.q", "must be a finite number"),
    "infinity": (b'{"dataset": [{"q": -Infinity}]}', "dataset.0.q", "must be a finite number"),
    "a number beyond floats": (b'{"dataset": [{"q": 1e999}]}', "dataset.0.q", "must be a finite number"),
    "lone surrogate": (b'{"dataset": [{"q": "\\ud800"}]}', "dataset.0.q", "holds a lone surrogate"),
    "lone surrogate in a key": (b'{"dataset": [{"\\ud800": 1}]}', "dataset.0", "has a key with a lone surrogate"),
    "thousands of lists": (
        b'{"dataset": [{"q": "}"}, {"a": 1, "q": ' + b"[" * 5000 + b"]" * 5000 + b"}]}",
        "dataset.1.q.0.0",
        "nested deeper than 32",
    ),
    "thousands of objects, never closed": (
        b'{"seed": 1, "metadata": ' + b'{"x":' * 5000,
        "metadata.x.x",
        "deeper than 32",
    ),
    "not UTF-8": (b'{"seed": "\xff"}', "", "not UTF-8: byte 10"),
    "byte order mark": (b"\xef\xbb\xbf{}", "", "not JSON"),
    "thousands of digits": (b'{"seed": ' + b"1" * 5000 + b"}", "", "not JSON"),
    "deep": (b'{"dataset": ' + b"[" * 40 + b"]" * 40 + b"}", "dataset.0.0", "nested deeper than 32"),
    "very deep": (b"[" * 90_000 + b"]" * 90_000, "", "nested"),
}


@pytest.fixture(autouse=True)
def nothing_is_written(jobs: MemoryJobStore, artifacts: MemoryArtifactStore) -> Any:  # noqa: ANN401  # a generator
    yield
    assert jobs._records == {}
    assert artifacts.files == {}


@pytest.mark.parametrize(("body", "field", "sentence"), MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_request_names_its_field(
    body: dict[str, Any], field: str, sentence: str, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/run", json=body)

    assert answer.status_code == 422
    assert answer.json()["error"] == "invalid_request"
    messages = {problem["field"]: problem["message"] for problem in answer.json()["detail"]}
    assert sentence in messages[field]
    assert KEY not in answer.text


@pytest.mark.parametrize(("body", "field", "sentence"), UNSUPPORTED.values(), ids=UNSUPPORTED)
async def test_an_unsupported_request_says_what_cannot_be_done(
    body: dict[str, Any], field: str, sentence: str, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/run", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"] == "unsupported_request"
    assert field in answer.json()["detail"]
    assert sentence in answer.json()["detail"]


@pytest.mark.parametrize(("body", "field", "sentence"), NOT_JSON.values(), ids=NOT_JSON)
async def test_a_body_that_is_not_plain_json_says_where(
    body: bytes, field: str, sentence: str, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/run", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 422
    assert answer.json()["error"] == "invalid_request"
    problem = answer.json()["detail"][0]
    assert problem["field"].startswith(field)
    assert sentence in problem["message"]


async def test_every_problem_of_a_request_is_listed(client: httpx.AsyncClient) -> None:
    body = payload(shuffle=1, seed="x", model_config={"name": "demo/in-context", "temperature": 9})

    answer = await client.post("/run", json=body)

    fields = {problem["field"] for problem in answer.json()["detail"]}
    assert fields == {"shuffle", "seed", "model_config.temperature"}


async def test_a_long_list_of_problems_is_cut(client: httpx.AsyncClient) -> None:
    answer = await client.post("/run", json=payload(dataset=[1] * 150))

    assert len(answer.json()["detail"]) == 51
    assert answer.json()["detail"][-1]["message"] == "and 100 more problems"


async def test_a_body_that_is_too_large_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/run", json=payload(metadata={"note": "x" * 300_000}))

    assert answer.status_code == 413
    assert answer.json()["error"] == "payload_too_large"
    assert "200000 bytes" in answer.json()["detail"]


async def test_a_body_without_an_announced_length_is_counted(client: httpx.AsyncClient) -> None:
    async def endless() -> Any:  # noqa: ANN401  # an async generator
        for _ in range(100):
            yield b" " * 10_000

    answer = await client.post("/run", content=endless())

    assert answer.status_code == 413


async def test_a_body_just_below_the_limit_is_read(client: httpx.AsyncClient) -> None:
    answer = await client.post("/run", content=json.dumps([]).encode() + b" " * 199_998)

    assert answer.status_code == 422


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
async def test_an_idempotency_key_must_be_short_text(key: str, client: httpx.AsyncClient) -> None:
    answer = await client.post("/run", json=payload(), headers={"idempotency-key": key})

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["field"] == "Idempotency-Key"
