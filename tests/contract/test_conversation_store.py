"""A conversation keeps what was said, in branches, whoever writes last."""

from collections.abc import AsyncIterator

import pytest

from dspy_service.adapters.memory import MemoryConversationStore
from dspy_service.adapters.redis.conversations import RedisConversationStore
from dspy_service.domain.serving.conversation import Feedback
from dspy_service.domain.serving.errors import ConversationNotFoundError
from dspy_service.domain.serving.run_events import SourceCited
from dspy_service.ports.serving.conversations import ConversationStore
from tests.support.conversation_samples import a_new_conversation, a_question, a_reply, an_answer, ids, talk
from tests.support.lost_replies import SendsTwice

UP = Feedback(rating="up", comment="Да", expected={"answer": "yes", "none": []})


@pytest.fixture
async def talked(store: ConversationStore) -> ConversationStore:
    """Return a store with an empty conversation."""
    await store.create(a_new_conversation())
    return store


class ConversationStoreContract:
    async def test_a_conversation_is_found_as_it_was_made(self, store: ConversationStore) -> None:
        new = a_new_conversation(owner="ann", title="Заголовок", metadata={"team": "a b"})

        made = await store.create(new)

        assert made == await store.get("local", "conv_1")
        assert {name: getattr(made, name) for name in type(new).model_fields} == dict(new)
        assert (made.message_count, made.total_tokens, made.head_id, made.active_run_id) == (0, 0, None, None)
        assert made.created_at == made.updated_at
        assert await store.messages("local", "conv_1") == []

    async def test_a_turn_is_shown_behind_the_ones_before(self, talked: ConversationStore) -> None:
        await talk(talked, 1)

        place = await talked.add("local", [a_question(2), a_reply(2)])

        after = await talked.get("local", "conv_1")
        assert place == 2
        assert await ids(talked) == ["u1", "a1", "u2", "a2"]
        assert [each.parent_id for each in await talked.messages("local", "conv_1")] == [None, "u1", "a1", "u2"]
        assert (after.head_id, after.message_count, after.active_run_id) == ("a2", 4, "run_2")

    async def test_messages_that_are_there_are_not_added_again(self, talked: ConversationStore) -> None:
        await talk(talked, 1, 2)

        again = await talked.add("local", [a_question(1), a_reply(1)])
        later = await talked.add("local", [a_question(3), a_reply(3)])

        assert (again, later) == (1, 3)
        assert await ids(talked) == ["u1", "a1", "u2", "a2", "u3", "a3"]
        assert (await talked.get("local", "conv_1")).message_count == 6

    async def test_an_answer_is_read_as_it_was_written(self, talked: ConversationStore) -> None:
        await talked.add("local", [a_question(1), a_reply(1)])
        answer = an_answer(1, sources=[SourceCited(id="p1", title="Paper", authors=["A"], year=2020, score=0.5)])

        written = await talked.answer("local", "conv_1", "a1", answer)

        assert written == (await talked.messages("local", "conv_1"))[-1]
        assert {name: getattr(written, name) for name in type(answer).model_fields} == dict(answer)
        assert (written.parent_id, written.run_id, written.role) == ("u1", "run_1", "assistant")

    async def test_tokens_are_counted_once_and_an_ended_run_is_not_active(self, talked: ConversationStore) -> None:
        await talked.add("local", [a_question(1), a_reply(1)])
        await talked.add("local", [a_question(2), a_reply(2)])

        await talked.answer("local", "conv_1", "a1", an_answer(1, tokens=30))
        await talked.answer("local", "conv_1", "a1", an_answer(1, tokens=25))

        found = await talked.get("local", "conv_1")
        assert (found.total_tokens, found.active_run_id) == (25, "run_2")

    async def test_two_answers_to_one_question_are_branches(self, talked: ConversationStore) -> None:
        await talk(talked, 1)

        await talked.add("local", [a_reply(2, parent_id="u1")])

        assert await ids(talked) == ["u1", "a2"]
        assert await ids(talked, head_id="a1") == ["u1", "a1"]

    async def test_the_newest_messages_of_a_branch_are_told_oldest_first(self, talked: ConversationStore) -> None:
        await talk(talked, 1, 2, 3)

        newest = await talked.messages("local", "conv_1", limit=3)

        assert [each.message_id for each in newest] == ["a2", "u3", "a3"]

    async def test_what_is_taken_back_leaves_no_gap(self, talked: ConversationStore) -> None:
        await talk(talked, 1, 2, 3)

        after = await talked.take_back("local", "conv_1", "a2")

        assert await ids(talked) == ["u1", "a1", "u3", "a3"]
        assert (after.message_count, after.total_tokens, after.head_id) == (4, 20, "a3")
        assert await talked.take_back("local", "conv_1", "a2") == after

    async def test_taking_back_the_newest_turn_shows_the_one_before(self, talked: ConversationStore) -> None:
        await talk(talked, 1)
        await talked.add("local", [a_question(2), a_reply(2)])

        after = await talked.take_back("local", "conv_1", "a2")

        assert (after.head_id, after.active_run_id) == ("a1", None)
        assert await ids(talked) == ["u1", "a1"]

    async def test_taking_back_the_only_turn_leaves_an_empty_conversation(self, talked: ConversationStore) -> None:
        await talk(talked, 1)

        after = await talked.take_back("local", "conv_1", "a1")

        assert (after.head_id, after.message_count) == (None, 0)
        assert await ids(talked) == []

    async def test_a_question_with_another_answer_is_not_taken_back(self, talked: ConversationStore) -> None:
        await talk(talked, 1)
        await talked.add("local", [a_reply(2, parent_id="u1")])

        after = await talked.take_back("local", "conv_1", "a2")

        assert (after.head_id, after.message_count) == ("a1", 2)
        assert await ids(talked) == ["u1", "a1"]

    async def test_conversations_are_listed_by_their_last_change(self, store: ConversationStore) -> None:
        for name in ("a", "b", "c"):
            await store.create(a_new_conversation(name, owner="ann"))
        await store.create(a_new_conversation("d", owner="ann_2"))
        await store.create(a_new_conversation("foreign", tenant="acme", owner="ann"))
        await store.change("local", "a", title="New")

        of_ann, has_more = await store.page("local", owner="ann", limit=2)
        rest, has_still_more = await store.page("local", owner="ann", after="c", limit=2)
        everybody, _ = await store.page("local")

        assert ([each.conversation_id for each in of_ann], has_more) == (["a", "c"], True)
        assert ([each.conversation_id for each in rest], has_still_more) == (["b"], False)
        assert [each.conversation_id for each in everybody] == ["a", "d", "c", "b"]
        assert of_ann[0].title == "New"

    async def test_a_page_behind_nothing_is_refused(self, store: ConversationStore) -> None:
        with pytest.raises(ConversationNotFoundError):
            await store.page("local", after="nothing")

    async def test_only_what_is_named_is_changed(self, store: ConversationStore) -> None:
        await store.create(a_new_conversation(title="Old", metadata={"a": "1"}))

        await store.change("local", "conv_1", metadata={"b": "2"})
        after = await store.change("local", "conv_1")

        assert (after.title, after.metadata) == ("Old", {"b": "2"})

    async def test_a_deleted_conversation_is_forgotten_with_its_ratings(self, talked: ConversationStore) -> None:
        await talk(talked, 1)
        await talked.rate("local", "conv_1", "a1", UP)

        await talked.delete("local", "conv_1")

        assert await talked.page("local") == ([], False)
        assert [each async for each in talked.rated("local")] == []
        with pytest.raises(ConversationNotFoundError):
            await talked.delete("local", "conv_1")

    async def test_ratings_are_found_until_they_are_taken_back(self, talked: ConversationStore) -> None:
        await talk(talked, 1, 2)

        rated = await talked.rate("local", "conv_1", "a1", UP)
        await talked.rate("local", "conv_1", "a2", Feedback(rating="down"))
        untouched = await talked.rate("local", "conv_1", "a2", None)

        found = [(talk.conversation_id, message) async for talk, message in talked.rated("local")]
        assert (rated.feedback, untouched.feedback) == (UP, None)
        assert found == [("conv_1", rated)]

    async def test_more_ratings_than_a_page_holds_are_all_told(self, talked: ConversationStore) -> None:
        for number in range(101):
            await talked.add("local", [a_question(number), a_reply(number)])
            await talked.rate("local", "conv_1", f"a{number}", UP)

        found = [message.message_id async for _, message in talked.rated("local")]

        assert found == sorted(f"a{number}" for number in range(101))

    async def test_an_answer_that_is_taken_back_is_rated_no_more(self, talked: ConversationStore) -> None:
        await talk(talked, 1)
        await talked.rate("local", "conv_1", "a1", UP)

        await talked.take_back("local", "conv_1", "a1")

        assert [each async for each in talked.rated("local")] == []

    async def test_nothing_of_another_tenant_is_found(self, talked: ConversationStore) -> None:
        await talk(talked, 1)
        await talked.rate("local", "conv_1", "a1", UP)

        assert await talked.page("acme") == ([], False)
        assert [each async for each in talked.rated("acme")] == []
        for asked in (
            talked.get("acme", "conv_1"),
            talked.change("acme", "conv_1", title="x"),
            talked.delete("acme", "conv_1"),
            talked.add("acme", [a_question(9)]),
            talked.answer("acme", "conv_1", "a1", an_answer(9)),
            talked.take_back("acme", "conv_1", "a1"),
            talked.messages("acme", "conv_1"),
            talked.rate("acme", "conv_1", "a1", None),
            talked.get("local", "conv_9"),
            talked.add("local", [a_question(9, parent_id="nothing")]),
            talked.answer("local", "conv_1", "nothing", an_answer(9)),
            talked.messages("local", "conv_1", head_id="nothing"),
            talked.rate("local", "conv_1", "nothing", None),
        ):
            with pytest.raises(ConversationNotFoundError):
                await asked
        assert await ids(talked) == ["u1", "a1"]


class TestConversationsInMemory(ConversationStoreContract):
    @pytest.fixture
    def store(self) -> ConversationStore:
        return MemoryConversationStore()


class TestConversationsOnRedis(ConversationStoreContract):
    @pytest.fixture
    async def store(self, redis_url: str) -> AsyncIterator[ConversationStore]:
        store = RedisConversationStore(redis_url)
        yield store
        await store.aclose()


class TestConversationsOnRedisWithLostReplies(ConversationStoreContract):
    @pytest.fixture
    async def store(self, redis_url: str) -> AsyncIterator[ConversationStore]:
        store = RedisConversationStore(redis_url)
        await store.aclose()
        store._client = SendsTwice(redis_url)
        yield store
        await store.aclose()
