"""What is not there has an error of its own: a job, a program, a run, a conversation."""

from collections.abc import Callable

import pytest

from dspy_service.client import (
    Client,
    NotFoundError,
    UnknownConversationError,
    UnknownJobError,
    UnknownProgramError,
    UnknownRunError,
)
from dspy_service.client.calls import MISSING
from dspy_service.domain import errors
from dspy_service.domain.serving import errors as serving_errors
from tests.unit.client.service import ScriptedService, refusal


@pytest.mark.parametrize(
    ("path", "code", "ask", "kind"),
    [
        ("/jobs/j1", "job_not_found", lambda client: client.status("j1"), UnknownJobError),
        ("/jobs/j1/artifact", "artifact_not_found", lambda client: client.artifact("j1"), UnknownJobError),
        (
            "/programs/qa/predict",
            "program_not_found",
            lambda client: client.programs.predict("qa", {}),
            UnknownProgramError,
        ),
        ("/chat", "no_default_program", lambda client: client.chat.say("Hi"), UnknownProgramError),
        ("/runs/run_1", "run_not_found", lambda client: client.runs.get("run_1"), UnknownRunError),
        ("/runs/run_1/events", "run_log_gone", lambda client: list(client.runs.watch("run_1")), UnknownRunError),
        (
            "/conversations/c1",
            "conversation_not_found",
            lambda client: client.chat.delete("c1"),
            UnknownConversationError,
        ),
        ("/keys/k1", "key_not_found", lambda client: client.revoke_key("k1"), NotFoundError),
    ],
    ids=["job", "artifact", "program", "default", "run", "events", "conversation", "key"],
)
def test_what_is_not_there_is_named_by_the_errors_class(
    path: str, code: str, ask: Callable[[Client], object], kind: type[NotFoundError]
) -> None:
    service = ScriptedService({path: [refusal(404, code, "It is not there.")]})

    with service.client() as client, pytest.raises(NotFoundError) as caught:
        ask(client)

    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.status_code) == (code, 404)


def test_every_word_of_the_table_is_the_services() -> None:
    modules = (errors, serving_errors)
    words = {
        each.code
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, errors.NotFoundError | errors.FileNotStoredError)
    }

    assert set(MISSING) <= words
