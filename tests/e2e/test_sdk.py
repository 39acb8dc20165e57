"""The SDK against the running platform, as a user's script would use it."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

from dspy_service.client import (
    AsyncClient,
    Client,
    JobFailedError,
    NotYetError,
    RequestRejectedError,
    UnknownJobError,
    WaitTimeoutError,
)
from dspy_service.client.answers import JobSummary
from dspy_service.client.demo import run_demo
from tests.support.payloads import ROOT, ticket_rows
from tests.support.processes import wait_until
from workers.lm.demo.engine import AsyncDemoEngine, DemoEngine

RIGHT = 1.0
JOB_SECONDS = 60.0


class RouteTicket(dspy.Signature):
    """Route the support ticket to a team."""

    ticket: str = dspy.InputField()
    team: Literal["billing", "logistics", "aftercare", "accounts", "platform", "advice"] = dspy.OutputField()


def normalised(team: str) -> str:
    return team.strip().lower()


def right_team(gold: Any, pred: Any, trace: Any = None) -> float:  # noqa: ANN401  # DSPy's examples and predictions
    return RIGHT if normalised(gold.team) == normalised(pred.team) else 0.0


def broken(gold: Any, pred: Any, trace: Any = None) -> float:  # noqa: ANN401  # DSPy's examples and predictions
    return float(gold.colour == pred.team)


@pytest.fixture
def client(service: Any) -> Iterator[Client]:  # noqa: ANN401  # the fixture of conftest
    with Client(service.base_url) as connected:
        yield connected


def test_a_job_goes_all_the_way_to_a_program_that_answers(client: Client, tmp_path: Path) -> None:
    seen: list[JobSummary] = []

    job = client.submit(
        RouteTicket,
        right_team,
        ticket_rows(60),
        optimizer="bootstrap_few_shot",
        optimizer_kwargs={"max_bootstrapped_demos": 3},
        metadata={"test": "sdk"},
        seed=3,
    )
    done = client.wait(job.job_id, on_progress=seen.append, poll_seconds=0.1, timeout_seconds=JOB_SECONDS)
    program = client.load_program(job.job_id, destination=tmp_path / "program")

    assert done.succeeded, done.message
    assert done.metadata == {"test": "sdk"}
    assert done.result is not None
    assert done.result.metric_name == "metric"
    assert done.result.program_artifact is not None
    assert seen[-1].status == "success"
    assert client.logs(job.job_id) == done.logs == done.result.run_log
    assert [event.seq for event in client.events(job.job_id)][:3] == [1, 2, 3]
    lm = dspy.LM("demo/in-context", engine=DemoEngine(), async_engine=AsyncDemoEngine(), cache=False)
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        assert (
            program(ticket="I was charged twice for one order.").team
            in RouteTicket.model_fields["team"].annotation.__args__
        )


def test_the_saved_artifact_can_be_inspected(client: Client, service: Any, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ANN401  # the fixture of conftest
    job = client.submit(
        RouteTicket, right_team, ticket_rows(20), optimizer="labeled_few_shot", optimizer_kwargs={"k": 4}, seed=1
    )
    client.wait(job.job_id, poll_seconds=0.1, timeout_seconds=JOB_SECONDS, raise_on_failure=True)
    inspect = importlib.util.spec_from_file_location("inspect_artifact", ROOT / "inspect_artifact.py")
    assert inspect is not None
    assert inspect.loader is not None
    module = importlib.util.module_from_spec(inspect)
    inspect.loader.exec_module(module)

    folder = service.artifacts_dir / job.job_id
    wait_until((folder / "manifest.json").exists)  # a moment after the end, when all is signed

    code = module.main([str(folder), "--inputs", '{"ticket": "my parcel is late"}'])

    text = capsys.readouterr().out
    assert code == 0
    assert "4 demonstrations" in text
    assert "team: " in text


def test_a_broken_metric_fails_with_the_users_own_traceback(client: Client) -> None:
    job = client.submit(RouteTicket, broken, ticket_rows(20), optimizer="bootstrap_few_shot", seed=1)

    with pytest.raises(JobFailedError) as caught:
        client.wait(job.job_id, poll_seconds=0.1, timeout_seconds=JOB_SECONDS, raise_on_failure=True)

    assert caught.value.termination_reason == "error"
    assert caught.value.traceback is not None
    assert "gold.colour == pred.team" in caught.value.traceback
    with pytest.raises(UnknownJobError):
        client.artifact(job.job_id)


def test_waiting_may_end_before_the_job_and_an_artifact_is_not_there_yet(client: Client) -> None:
    job = client.submit(
        RouteTicket, right_team, ticket_rows(30), optimizer="bootstrap_few_shot", model="demo/in-context?latency_ms=200"
    )

    with pytest.raises(WaitTimeoutError):
        client.wait(job.job_id, poll_seconds=0.05, timeout_seconds=0.1)
    with pytest.raises(NotYetError):
        client.artifact(job.job_id)

    assert client.wait(job.job_id, poll_seconds=0.1, timeout_seconds=JOB_SECONDS).succeeded


def test_the_service_names_the_field_of_a_mistake(client: Client) -> None:
    with pytest.raises(RequestRejectedError) as caught:
        client.submit(RouteTicket, right_team, ticket_rows(20), model={"name": "demo/in-context", "temperature": 9})

    assert [problem.field for problem in caught.value.problems] == ["model_config.temperature"]
    with pytest.raises(RequestRejectedError, match="no_such_optimizer"):
        client.submit(RouteTicket, right_team, ticket_rows(20), optimizer="no_such_optimizer")


def test_an_idempotency_key_gives_one_job(client: Client) -> None:
    options: Any = {"optimizer": "labeled_few_shot", "idempotency_key": "sdk-once", "seed": 1}

    first = client.submit(RouteTicket, right_team, ticket_rows(20), **options)
    again = client.submit(RouteTicket, right_team, ticket_rows(20), **options)

    assert first.job_id == again.job_id


async def test_the_asynchronous_client_does_the_same(service: Any) -> None:  # noqa: ANN401  # the fixture of conftest
    async with AsyncClient(service.base_url) as client:
        health = await client.health()
        job = await client.submit("ticket -> team", right_team, ticket_rows(20), optimizer="labeled_few_shot", seed=1)
        done = await client.wait(job.job_id, poll_seconds=0.1, timeout_seconds=JOB_SECONDS)
        program = await client.load_program(job.job_id)

    assert health.is_ok
    assert "miprov2" in health.registered_assets.optimizers
    assert done.succeeded, done.message
    assert list(program.signature.input_fields) == ["ticket"]


def test_the_demo_runs_and_its_score_rises(service: Any, tmp_path: Path) -> None:  # noqa: ANN401  # the fixture of conftest
    code = run_demo(service.base_url, seed=7, plot_path=tmp_path / "scores.png")

    assert code == 0
    assert (tmp_path / "scores.png").stat().st_size > 0
    assert "matplotlib" in sys.modules
