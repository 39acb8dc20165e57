"""Two processes that call one provider keep its limits together, share them evenly, and slow down together."""

import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.support.calling_worker import calling_worker
from tests.support.openai_server import Body, OpenAIServer, Reply, error
from tests.support.processes import wait_until
from tests.support.valkey import redis_url, valkey_server

__all__ = ["redis_url", "valkey_server"]


class Provider:
    """Notes who called when; ``refuses`` decides about each call."""

    def __init__(self, *, delay_seconds: float) -> None:
        self.delay_seconds = delay_seconds
        self.calls: list[tuple[float, str]] = []
        self.refusals_left = 0
        self.refused_at = 0.0

    def __call__(self, body: Body) -> Reply:
        self.calls.append((time.monotonic(), body["messages"][0]["content"]))
        if self.refusals_left:
            self.refusals_left -= 1
            self.refused_at = time.monotonic()
            return error(429, retry_after="4")
        return Reply("ok", delay_seconds=self.delay_seconds)

    def callers(self) -> Counter[str]:
        return Counter(job for _, job in self.calls)


def limits_of(server: OpenAIServer, folder: Path, limits: str) -> Path:
    path = folder / "models.toml"
    path.write_text(f'[limits."{server.base_url.removesuffix("/v1")}"]\n{limits}\n', encoding="utf-8")
    return path


def test_slots_are_shared_evenly_however_many_calls_one_of_them_wants(redis_url: str, tmp_path: Path) -> None:
    provider = Provider(delay_seconds=0.1)
    with OpenAIServer(provider) as server, ExitStack() as stack:
        common = {
            "redis_url": redis_url,
            "base_url": server.base_url,
            "models_file": limits_of(server, tmp_path, "max_in_flight = 6"),
        }
        greedy = {"tenant": "greedy", "job": "greedy", "calls": 5_000, "threads": 200}
        modest = {"tenant": "modest", "job": "modest", "calls": 100, "threads": 4}
        stack.enter_context(calling_worker(**common, **greedy))
        wait_until(lambda: provider.callers()["greedy"] > 20, seconds=60)
        done = stack.enter_context(calling_worker(**common, **modest))
        done.wait(60)

    places = [place for place, (_, job) in enumerate(provider.calls) if job == "modest"]
    meanwhile = Counter(job for _, job in provider.calls[places[0] : places[-1]])
    assert done.returncode == 0
    assert server.peak_in_flight == 6
    assert len(places) == 100
    assert 60 <= meanwhile["greedy"] <= 160


def test_no_second_sees_more_requests_than_burst_and_rate_allow(redis_url: str, tmp_path: Path) -> None:
    provider = Provider(delay_seconds=0.0)
    with OpenAIServer(provider) as server, ExitStack() as stack:
        file = limits_of(server, tmp_path, "requests_per_minute = 1_200")
        for tenant in ("one", "other"):
            options = {"tenant": tenant, "job": "j", "calls": 60, "threads": 60, "models_file": file}
            stack.enter_context(calling_worker(redis_url=redis_url, base_url=server.base_url, **options))
        wait_until(lambda: len(provider.calls) == 120, seconds=60)

    times = sorted(at for at, _ in provider.calls)
    busiest = max(sum(begin <= at < begin + 1 for at in times) for begin in times)
    assert busiest <= 40 + 20 + 20  # a process that was slow to send may be early with its next ones
    assert times[-1] - times[0] >= 3.5


def test_after_a_refusal_all_workers_are_silent_for_as_long_as_the_provider_asks(redis_url: str) -> None:
    provider = Provider(delay_seconds=0.05)
    with OpenAIServer(provider) as server, ExitStack() as stack:
        for job in ("one", "other"):
            options = {"tenant": "acme", "job": job, "calls": 2_000, "threads": 4}
            stack.enter_context(calling_worker(redis_url=redis_url, base_url=server.base_url, **options))
        wait_until(lambda: min(provider.callers()[job] for job in ("one", "other")) > 20, seconds=60)
        provider.refusals_left = 1
        wait_until(lambda: provider.calls[-1][0] > provider.refused_at + 4.5 > 4.5)

    heard, over = provider.refused_at + 2.0, provider.refused_at + 3.9  # the other one looks once a second
    pace_before = sum(provider.refused_at - 1 < at < provider.refused_at for at, _ in provider.calls)
    pace_after = sum(over < at < over + 1 for at, _ in provider.calls)
    assert [job for at, job in provider.calls if heard < at < over] == []
    assert 0 < pace_after < pace_before


def test_what_a_killed_worker_was_calling_makes_room_for_the_others(redis_url: str, tmp_path: Path) -> None:
    provider = Provider(delay_seconds=600)
    with OpenAIServer(provider) as server, ExitStack() as stack:
        common = {
            "redis_url": redis_url,
            "base_url": server.base_url,
            "models_file": limits_of(server, tmp_path, "max_in_flight = 3"),
            "calls": 3,
            "threads": 3,
        }
        doomed = stack.enter_context(calling_worker(tenant="doomed", job="doomed", **common))
        wait_until(lambda: len(provider.calls) == 3, seconds=60)
        doomed.kill()
        killed_at = time.monotonic()
        provider.delay_seconds = 0
        survivor = stack.enter_context(calling_worker(tenant="survivor", job="survivor", **common))
        survivor.wait(60)

    assert survivor.returncode == 0
    assert provider.callers() == {"doomed": 3, "survivor": 3}
    assert 5 < provider.calls[-1][0] - killed_at < 30  # starting the survivor included
