"""Optimize, deploy, chat, rate, optimize again on what was rated, deploy that: the whole loop, through the SDK."""

from typing import Any

from dspy_service.client import Client
from dspy_service.domain.job import JobStatus
from tests.e2e.test_sdk import RouteTicket, right_team
from tests.support.payloads import ticket_rows

JOB_SECONDS = 60.0
QUESTIONS = 24


def test_rated_answers_of_a_served_program_make_its_next_version(service: Any) -> None:  # noqa: ANN401  # the fixture of conftest
    rows = ticket_rows(60)
    with Client(service.base_url) as client:
        first = _optimized(client, rows[:30])
        deployed = client.programs.deploy("loop", job_id=first)
        conversation = client.chat.start(program="loop")
        for row in rows[30 : 30 + QUESTIONS]:
            said = client.chat.say(row["ticket"], conversation_id=conversation.conversation_id)
            is_right = said.response == row["team"]
            client.chat.rate(
                said.conversation_id,
                said.message_id,
                "up" if is_right else "down",
                expected=None if is_right else {"team": row["team"]},
            )

        rated = client.chat.rated_rows(program="loop")
        again = client.programs.deploy("loop", job_id=_optimized(client, rated))
        moved = client.programs.move("loop", again.version)
        answer = client.programs.predict("loop", {"ticket": rows[0]["ticket"]})
        back = client.programs.roll_back("loop")
        kept = client.chat.conversation(conversation.conversation_id)

    assert sorted((row["ticket"], row["team"]) for row in rated) == sorted(
        (row["ticket"], row["team"]) for row in rows[30 : 30 + QUESTIONS]
    )
    assert (deployed.version, again.version, moved.version, answer.version, back.version) == (1, 2, 2, 2, 1)
    assert answer.prediction["team"] in {row["team"] for row in rows}
    assert kept.message_count == 2 * QUESTIONS


def _optimized(client: Client, rows: list[dict[str, Any]]) -> str:
    job_id = client.submit(
        RouteTicket, right_team, rows, optimizer="labeled_few_shot", optimizer_kwargs={"k": 4}, model="demo/in-context"
    ).job_id
    done = client.wait(job_id, poll_seconds=0.1, timeout_seconds=JOB_SECONDS)
    assert done.status is JobStatus.SUCCESS, done.message
    return job_id
