"""A program with a history that chats, and what tests say to it."""

from typing import Any

import httpx

from dspy_service.bootstrap import Services
from dspy_service.domain.serving.program import NewVersion
from tests.support.served_programs import a_field, a_new_version, an_interface


def a_chatting_version(program: str = "answers", **changes: object) -> NewVersion:
    """Return a version that takes a history and has an answer among other outputs."""
    interface = an_interface(
        a_field("question"),
        a_field("history", type_name="dspy.History"),
        a_field("reasoning", "output"),
        a_field("answer", "output"),
        a_field("sources", "output", "list[str]"),
    )
    return a_new_version(program, **{"interface": interface, **changes})


async def deploy(services: Services, version: NewVersion | None = None) -> None:
    await services.programs.add_version(version or a_chatting_version())


async def say(client: httpx.AsyncClient, body: dict[str, Any], *, path: str = "/chat", **headers: str) -> Any:  # noqa: ANN401  # JSON
    answer = await client.post(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def messages_of(client: httpx.AsyncClient, conversation_id: str) -> list[tuple[str, str, str]]:
    """Return role, text and status of what is shown."""
    answer = await client.get(f"/conversations/{conversation_id}")
    assert answer.status_code == 200, answer.text
    return [(each["role"], each["text"], each["status"]) for each in answer.json()["messages"]]
