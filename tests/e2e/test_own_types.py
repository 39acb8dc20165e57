"""Optimize a program with types of its own, deploy it, call it and stream from it: its code runs, but only confined."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspy_service.client import Client, RequestRejectedError
from dspy_service.domain.artifact_paths import PROGRAM_FILES
from dspy_service.domain.serving.run_events import RunEvent
from tests.support.payloads import ticket_request, ticket_rows
from tests.support.platforms import plain_environment
from tests.support.service import RunningService

COMMAND = Path(sys.executable).with_name("dspy-service")

SIGNATURE = '''
from pydantic import BaseModel, Field, model_validator


class Ticket(BaseModel):
    """What a customer wrote; a text alone will do."""

    words: str
    language: str = "en"

    @model_validator(mode="before")
    @classmethod
    def of_text(cls, value):
        return {"words": value} if isinstance(value, str) else value


class Details(BaseModel):
    urgency: int = Field(ge=0)
    tags: list[str] = []


class Route(dspy.Signature):
    """Route the support ticket to a team."""

    ticket: Ticket = dspy.InputField()
    team: str = dspy.OutputField()
    details: Details = dspy.OutputField()
    reply: str = dspy.OutputField()
'''


@pytest.fixture(scope="module")
def job_id(service: RunningService) -> str:
    told = {"details": {"urgency": 1, "tags": ["new"]}, "reply": "Thank you, a colleague will write to you."}
    columns = {"inputs": {"ticket": "ticket"}, "outputs": {name: name for name in ("team", "details", "reply")}}
    rows = [{**row, **told} for row in ticket_rows(30)]
    job_id = service.submit(ticket_request(rows, signature_code=SIGNATURE, column_mapping=columns))
    record = service.wait(job_id)
    assert record["status"] == "success", record["message"]
    return job_id


@pytest.fixture(scope="module")
def client(service: RunningService, job_id: str) -> Iterator[Client]:
    with Client(service.base_url) as opened:
        made = opened.programs.deploy("own-types", job_id=job_id)
        assert made.hosting == "confined"
        yield opened


def test_it_answers_with_values_of_its_types(client: Client) -> None:
    inputs = {"ticket": {"words": ticket_rows(1)[0]["ticket"], "language": "en"}}

    answer = client.programs.predict("own-types", inputs)

    assert set(answer.prediction) == {"team", "details", "reply"}
    details = answer.prediction["details"]
    assert isinstance(details, dict)
    assert isinstance(details["urgency"], int)
    assert answer.usage is not None
    task = answer.usage.roles["task"]
    assert task.calls + task.shared_cache_calls == 1  # another test may have asked the same


def test_it_takes_the_shorthand_that_only_its_code_knows(client: Client) -> None:
    words = ticket_rows(1)[0]["ticket"]

    whole = client.programs.predict("own-types", {"ticket": {"words": words}})
    short = client.programs.predict("own-types", {"ticket": words})

    assert short.prediction == whole.prediction


def test_its_tokens_are_its_answer(client: Client) -> None:
    events = list(client.programs.stream("own-types", {"ticket": {"words": "My parcel is lost."}}))

    final = next(event.fact for event in events if event.fact.type == "final")
    assert events[-1].fact.type == "end"
    assert {name: _text_of(events, name) for name in ("team", "reply")} == {
        name: final.prediction[name] for name in ("team", "reply")
    }
    assert [
        event.fact.value for event in events if event.fact.type == "field_done" and event.fact.field == "details"
    ] == [final.prediction["details"]]


def test_what_cannot_be_a_ticket_is_refused_before_it_runs(client: Client) -> None:
    with pytest.raises(RequestRejectedError) as refused:
        client.programs.predict("own-types", {"ticket": {"language": "en"}})

    assert [problem.field for problem in refused.value.problems] == ["inputs.ticket.words"]


def test_its_document_has_the_types(client: Client) -> None:
    schemas = client.programs.openapi("own-types")["components"]["schemas"]

    assert schemas["Inputs"]["properties"]["ticket"]["required"] == ["words"]
    assert schemas["Prediction"]["properties"]["details"]["properties"]["urgency"]["minimum"] == 0


def test_its_files_make_the_same_program_elsewhere(
    client: Client, service: RunningService, job_id: str, tmp_path: Path
) -> None:
    for name in PROGRAM_FILES:
        (tmp_path / name).write_bytes(client.artifact_file(job_id, name))
    words = ["--program", "program.json", "--metadata", "metadata.json", "--model", "demo/in-context"]

    without, copied = (
        subprocess.run(  # noqa: S603  # our own program
            [COMMAND, "programs", "deploy", "copied", *words, *more, "--url", service.base_url],
            cwd=tmp_path,
            env=plain_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        for more in ([], ["--pickle", "program.pkl"])
    )
    answers = [client.programs.predict(name, {"ticket": "My parcel is lost."}) for name in ("own-types", "copied")]

    assert without.returncode == 1
    assert "program_pickle_base64: is required" in without.stderr
    assert copied.stdout.startswith("copied@v1  active"), copied.stderr
    assert client.programs.version("copied", 1).hosting == "confined"
    assert answers[0].prediction == answers[1].prediction


def _text_of(events: list[RunEvent], name: str) -> str:
    text = ""
    for fact in (event.fact for event in events):
        if fact.type == "replace" and fact.field == name:
            text = fact.text
        elif fact.type == "token" and fact.field == name:
            assert fact.offset == len(text)
            text += fact.text
    return text
