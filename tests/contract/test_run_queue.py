"""Which run is next: fair between tenants, one at a time in a conversation."""

import asyncio

import pytest

from dspy_service.domain.serving.errors import ConversationBusyError, RunNotFoundError, TurnOvertakenError
from dspy_service.domain.serving.run import MultitaskStrategy, Run, RunStatus
from dspy_service.domain.serving.run_events import Cancelled
from tests.contract.run_backends import RunBackend, RunsInMemory, RunsOnRedis, RunsOnRedisWithLostReplies
from tests.support.run_samples import COMPLETED, a_new_run, facts, in_progress, queued, started, taken


async def say(backend: RunBackend, multitask: MultitaskStrategy = "enqueue", *, tenant: str = "local") -> Run:
    new = a_new_run(conversation_id="c1", tenant=tenant)
    run, _ = await backend.store.create(new, start=started(new), multitask=multitask)
    return run


async def take_next(backend: RunBackend) -> Run:
    run_id = await backend.store.next_run()
    assert run_id is not None
    return await taken(backend.store, await backend.store.get(run_id))


class OrderContract:
    async def test_an_empty_queue_has_nobody(self, backend: RunBackend) -> None:
        assert await backend.store.next_run() is None

    async def test_the_oldest_run_of_a_tenant_is_first(self, backend: RunBackend) -> None:
        runs = [await queued(backend.store) for _ in range(3)]

        order = [(await take_next(backend)).run_id for _ in runs]

        assert order == [run.run_id for run in runs]

    async def test_the_tenant_with_the_fewest_runs_in_progress_is_first(self, backend: RunBackend) -> None:
        for tenant in ("many", "many", "many", "few", "few"):
            await queued(backend.store, a_new_run(tenant=tenant))

        order = [(await take_next(backend)).tenant for _ in range(5)]

        assert order == ["many", "few", "many", "few", "many"]

    async def test_among_equals_whoever_was_served_longest_ago_is_first(self, backend: RunBackend) -> None:
        for tenant in ("one", "one", "other", "other"):
            await queued(backend.store, a_new_run(tenant=tenant))

        order = []
        for _ in range(4):
            run = await take_next(backend)
            order.append(run.tenant)
            await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[])

        assert order == ["one", "other", "one", "other"]

    async def test_tenants_that_are_passed_over_wait_and_keep_their_place(self, backend: RunBackend) -> None:
        for tenant in ("one", "other", "third"):
            await queued(backend.store, a_new_run(tenant=tenant))

        order = []
        for without in (["one"], ["one", "other"], ["one", "other", "third"], []):
            run_id = await backend.store.next_run(without=without)
            order.append(None if run_id is None else (await backend.store.get(run_id)).tenant)

        assert order == ["other", "third", None, "one"]

    async def test_whoever_waits_is_woken(self, backend: RunBackend) -> None:
        await backend.store.wait_for_run(0)
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(backend.store.wait_for_run(5))
            await queued(backend.store)

        assert waiting.result() is True
        assert await backend.store.wait_for_run(0.01) is False

    async def test_a_wish_wakes_too(self, backend: RunBackend) -> None:
        run = await in_progress(backend.store)
        await backend.store.wait_for_run(0)
        await backend.store.cancel(run.run_id, reason="asked")

        assert await backend.store.wait_for_run(5) is True


class ConversationContract:
    async def test_a_second_message_waits_for_the_first(self, backend: RunBackend) -> None:
        first, second = await say(backend), await say(backend)
        claim = await taken(backend.store, first)

        assert await backend.store.next_run() is None
        assert await backend.store.claim(second.run_id, owner="w2", lease_seconds=15) is None
        await backend.store.finish(first.run_id, fence=claim.fence, outcome=COMPLETED, facts=[])
        assert await backend.store.next_run() == second.run_id

    async def test_it_waits_for_one_that_was_given_back(self, backend: RunBackend) -> None:
        first, second = await say(backend), await say(backend)
        await taken(backend.store, first)
        await backend.store.release(first.run_id, fence=1)

        order = [await backend.store.next_run()]
        await backend.store.cancel(first.run_id, reason="asked")
        order.append(await backend.store.next_run())

        assert order == [first.run_id, second.run_id]

    async def test_a_message_in_the_middle_can_be_cancelled(self, backend: RunBackend) -> None:
        first, second, third = [await say(backend) for _ in range(3)]
        await taken(backend.store, first)

        await backend.store.cancel(second.run_id, reason="asked")
        meanwhile = await backend.store.next_run()
        await backend.store.finish(first.run_id, fence=1, outcome=COMPLETED, facts=[])

        assert meanwhile is None
        assert await backend.store.next_run() == third.run_id

    async def test_a_lost_run_lets_the_next_one_begin(self, backend: RunBackend) -> None:
        first, second = await say(backend), await say(backend)
        await taken(backend.store, first)
        await backend.let_time_pass(16)

        await backend.store.reap(lease_seconds=0)

        assert await backend.store.next_run() == second.run_id

    async def test_a_run_whose_message_stands_before_that_of_another_is_not_recorded(self, backend: RunBackend) -> None:
        first, late, last = [a_new_run(conversation_id="c1") for _ in range(3)]
        run, _ = await backend.store.create(first, start=started(first), place=2)
        await taken(backend.store, run)
        await backend.store.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[])

        for place in (1, 2):
            with pytest.raises(TurnOvertakenError):
                await backend.store.create(late, start=started(late), multitask="interrupt", place=place)
        await backend.store.create(last, start=started(last), place=3)

        with pytest.raises(RunNotFoundError):
            await backend.store.get(late.run_id)
        assert await backend.store.next_run() == last.run_id

    async def test_places_of_another_conversation_or_tenant_do_not_count(self, backend: RunBackend) -> None:
        runs = [
            a_new_run(conversation_id="c1"),
            a_new_run(conversation_id="c2"),
            a_new_run(conversation_id="c1", tenant="acme"),
        ]

        made = [(await backend.store.create(new, start=started(new), place=1))[1] for new in runs]

        assert made == [True, True, True]

    async def test_reject_names_the_live_run_and_records_nothing(self, backend: RunBackend) -> None:
        first = await say(backend)
        new = a_new_run(conversation_id="c1", key="k")

        with pytest.raises(ConversationBusyError) as refused:
            await backend.store.create(new, start=started(new), multitask="reject")
        await backend.store.cancel(first.run_id, reason="asked")
        again, is_new = await backend.store.create(new, start=started(new), multitask="reject")

        assert (refused.value.active_run_id, refused.value.conversation_id) == (first.run_id, "c1")
        assert (again.run_id, is_new) == (new.run_id, True)

    @pytest.mark.parametrize(("multitask", "reason"), [("interrupt", "interrupted"), ("rollback", "rolled_back")])
    async def test_a_new_message_can_end_those_before_it(
        self, backend: RunBackend, multitask: MultitaskStrategy, reason: str
    ) -> None:
        held, waiting = await say(backend), await say(backend)
        await taken(backend.store, held)

        new = await say(backend, multitask)

        ended = await backend.store.get(waiting.run_id)
        assert (ended.status, ended.cancel_reason) == (RunStatus.CANCELLED, reason)
        assert (await backend.store.get(held.run_id)).cancel_reason == reason
        assert await backend.store.next_run() is None
        await backend.store.finish(held.run_id, fence=1, outcome=COMPLETED, facts=[])
        assert await backend.store.next_run() == new.run_id

    @pytest.mark.parametrize("multitask", ["interrupt", "rollback"])
    async def test_it_begins_at_once_when_nobody_worked_at_them(
        self, backend: RunBackend, multitask: MultitaskStrategy
    ) -> None:
        before = [await say(backend) for _ in range(2)]

        new = await say(backend, multitask)

        assert await backend.store.next_run() == new.run_id
        for run in before:
            assert any(isinstance(fact, Cancelled) for fact in facts(await backend.store.events(run.run_id)))

    async def test_conversations_do_not_wait_for_each_other(self, backend: RunBackend) -> None:
        mine = await say(backend)
        other = await say(backend, "reject", tenant="other")
        alone = await queued(backend.store)

        order = {(await take_next(backend)).run_id for _ in range(3)}

        assert order == {mine.run_id, other.run_id, alone.run_id}

    async def test_two_messages_at_the_same_moment_do_not_both_begin(self, backend: RunBackend) -> None:
        news = [a_new_run(conversation_id="c1") for _ in range(8)]

        answers = await asyncio.gather(
            *(backend.store.create(new, start=started(new), multitask="reject") for new in news), return_exceptions=True
        )

        assert sum(isinstance(answer, ConversationBusyError) for answer in answers) == 7


class QueueContract(OrderContract, ConversationContract):
    pass


class TestQueueInMemory(RunsInMemory, QueueContract):
    pass


class TestQueueOnRedis(RunsOnRedis, QueueContract):
    pass


class TestQueueWithLostReplies(RunsOnRedisWithLostReplies, QueueContract):
    pass
