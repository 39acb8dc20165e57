"""Which processes a serving process keeps for its confined programs, and for how long."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from dspy_service.domain.artifact_paths import PROGRAM_PICKLE
from dspy_service.domain.errors import ArtifactCorruptError
from dspy_service.domain.frames import encode
from dspy_service.domain.serving.program import ProgramVersion
from tests.support.hosted import confined
from tests.support.scripted_child import READY, Peer, ScriptedChild, sleep_until_killed
from tests.support.served import DEMO
from tests.support.served_programs import an_interface
from tests.support.waiting import until
from workers.sandbox.launch import Child
from workers.serving.hosting.host import Host
from workers.serving.hosting.hosted_programs import HostedPrograms
from workers.serving.hosting.rules import HostRules
from workers.serving.run_errors import KnownRunError


def _loads(peer: Peer) -> None:
    """Play a host that takes any program."""
    peer.send(READY)
    peer.receive()
    peer.send({"t": "loaded"})
    sleep_until_killed(peer)


@dataclass
class House:
    """The programs, with every process that was started for them."""

    programs: HostedPrograms
    children: list[ScriptedChild]
    broken: set[str] = field(default_factory=set)
    """Programs whose files are not what was signed."""

    async def host(self, name: str, stack: AsyncExitStack, tenant: str = "acme") -> Host:
        folder = f"programs/{tenant}/{name}/1"
        version = confined(an_interface(), DEMO, tenant=tenant, program=name, artifact_folder=folder)
        return await stack.enter_async_context(
            self.programs.host(version, lambda pickled: [encode({"t": "blob", "data": pickled.decode(), "last": True})])
        )

    async def uses(self, name: str, tenant: str = "acme") -> Host:
        async with AsyncExitStack() as stack:
            return await self.host(name, stack, tenant)

    @property
    def alive(self) -> int:
        return sum(child.is_alive() for child in self.children)


@asynccontextmanager
async def _house(**rules: float | bool) -> AsyncIterator[House]:
    children: list[ScriptedChild] = []
    broken: set[str] = set()

    def launch() -> Child:
        children.append(ScriptedChild(_loads))
        return cast("Child", children[-1])

    async def read(version: ProgramVersion) -> Mapping[str, bytes]:
        if version.program in broken:
            raise ArtifactCorruptError(version.artifact_folder, "it was changed")
        return {PROGRAM_PICKLE: b"cGlja2xl"}

    programs = HostedPrograms(launch, read, HostRules(**{"keeps_standby": False, **rules}))  # type: ignore[arg-type]  # rules by name
    try:
        yield House(programs, children, broken)
    finally:
        await programs.aclose()
        assert [child for child in children if child.is_alive()] == []


async def test_nothing_is_started_before_a_program_needs_it() -> None:
    async with _house(keeps_standby=True) as house:
        assert house.children == []


async def test_who_asks_at_a_time_shares_one_start() -> None:
    async with _house() as house, AsyncExitStack() as stack:
        hosts = await asyncio.gather(*(house.host("a", stack) for _ in range(5)))

        assert len(set(map(id, hosts))) == 1
        assert len(house.children) == 1


async def test_the_next_host_waits_warm_and_ends_when_nobody_comes() -> None:
    async with _house(keeps_standby=True, idle_seconds=0.4) as house:
        await house.uses("a")
        assert len(house.children) == 2

        await until(lambda: _is(house, 0), seconds=20)


async def test_a_second_program_takes_the_one_that_waits() -> None:
    async with _house(keeps_standby=True) as house:
        await house.uses("a")
        await house.uses("b")

        assert len(house.children) == 3


async def test_a_program_that_is_used_is_not_ended_however_long_it_takes() -> None:
    async with _house(idle_seconds=0.2) as house, AsyncExitStack() as stack:
        host = await house.host("a", stack)
        await house.uses("b")
        await until(lambda: _is(house, 1), seconds=20)

        assert not host.ended.done()


async def test_a_run_waits_until_there_is_a_place() -> None:
    async with _house(max_hosts=1, place_seconds=30.0) as house:
        async with AsyncExitStack() as stack:
            first = await house.host("a", stack)
            waiting = asyncio.create_task(house.uses("b"))
            await asyncio.sleep(0)
            assert not waiting.done()
        second = await waiting

        assert first.ended.done()
        assert not second.ended.done()


async def test_a_host_that_has_ended_is_replaced() -> None:
    async with _house() as house:
        first = await house.uses("a")
        first.end("was ended by the test")

        second = await house.uses("a")

        assert second is not first
        assert len(house.children) == 2


async def test_files_that_were_changed_start_nothing_and_hold_nothing_up() -> None:
    async with _house() as house:
        house.broken.add("a")
        with pytest.raises(ArtifactCorruptError):
            await house.uses("a")
        house.broken.clear()

        await house.uses("a")

        assert len(house.children) == 1


async def test_a_start_that_nobody_waits_for_any_more_goes_on_for_the_next_one() -> None:
    async with _house() as house:
        waiting = asyncio.create_task(house.uses("a"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        await house.uses("a")

        assert len(house.children) == 1


async def test_no_place_for_too_long_is_told_as_overload() -> None:
    async with _house(max_hosts=1, place_seconds=0.05) as house, AsyncExitStack() as stack:
        await house.host("a", stack)

        with pytest.raises(KnownRunError) as refused:
            await house.uses("b")

    assert (refused.value.told.code, refused.value.told.retryable) == ("overloaded", True)


async def test_one_tenant_leaves_a_place_for_the_others() -> None:
    async with _house(max_hosts=4, place_seconds=0.1) as house, AsyncExitStack() as stack:
        for name in ("a", "b", "c"):
            await house.host(name, stack)

        with pytest.raises(KnownRunError, match="busy"):
            await house.uses("d")

        assert not (await house.host("d", stack, tenant="other")).ended.done()


async def test_a_tenant_with_its_share_gives_up_a_place_of_its_own() -> None:
    async with _house(max_hosts=4) as house, AsyncExitStack() as stack:
        foreign = await house.uses("a", tenant="other")
        idle = await house.uses("b")
        for name in ("c", "d"):
            await house.host(name, stack)

        await house.host("e", stack)

        assert idle.ended.done()
        assert not foreign.ended.done()


async def _is(house: House, count: int) -> bool:
    return house.alive == count
