"""Aliases move only from where the mover saw them, and back in one call."""

import httpx
import pytest

from tests.unit.api.deployed import deploy, three


async def test_an_alias_moves_only_from_where_it_was_seen(client: httpx.AsyncClient) -> None:
    await three(client)
    seen = (await client.get("/programs/answers/aliases/production")).headers["etag"]
    path = "/programs/answers/aliases/production"

    moved = await client.put(path, json={"version": 2}, headers={"if-match": seen})
    stale = await client.put(path, json={"version": 3}, headers={"if-match": seen})
    fresh = await client.put(path, json={"version": 3}, headers={"if-match": moved.headers["etag"]})

    assert (moved.status_code, moved.json()["version"], moved.json()["previous_version"]) == (200, 2, 1)
    assert (stale.status_code, stale.json()["error"]) == (412, "alias_moved")
    assert (fresh.status_code, fresh.json()["version"]) == (200, 3)


async def test_an_alias_is_made_only_if_it_is_new(client: httpx.AsyncClient) -> None:
    await deploy(client)
    new = {"if-none-match": "*"}

    answers = [await client.put("/programs/answers/aliases/beta", json={"version": 1}, headers=new) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 412]


async def test_a_star_asks_for_an_alias_that_exists(client: httpx.AsyncClient) -> None:
    await three(client)
    any_one = {"if-match": "*"}

    missing = await client.put("/programs/answers/aliases/beta", json={"version": 1}, headers=any_one)
    there = await client.put("/programs/answers/aliases/production", json={"version": 2}, headers=any_one)
    back = await client.post("/programs/answers/aliases/production/rollback", headers=any_one)

    assert (missing.status_code, there.status_code, back.status_code) == (412, 200, 200)
    assert back.json()["version"] == 1


@pytest.mark.parametrize("tag", ['W/"1"', '"1", "2"', '"one"', "", '"0"'])
async def test_a_tag_that_is_none_of_ours_is_nowhere(tag: str, client: httpx.AsyncClient) -> None:
    await three(client)
    path = "/programs/answers/aliases/production"

    moved = await client.put(path, json={"version": 2}, headers={"if-match": tag})
    back = await client.post(f"{path}/rollback", headers={"if-match": tag})

    assert [answer.json()["error"] for answer in (moved, back)] == ["alias_moved"] * 2


async def test_a_tag_may_have_lost_its_quotes(client: httpx.AsyncClient) -> None:
    await three(client)

    moved = await client.put("/programs/answers/aliases/production", json={"version": 2.0}, headers={"if-match": "1"})

    assert (moved.status_code, moved.json()["version"]) == (200, 2)


async def test_what_is_not_to_match_can_only_be_anything(client: httpx.AsyncClient) -> None:
    await deploy(client)
    sent = {"if-none-match": '"3"'}

    answer = await client.put("/programs/answers/aliases/beta", json={"version": 1}, headers=sent)

    assert (answer.status_code, answer.json()["detail"][0]["field"]) == (422, "If-None-Match")


@pytest.mark.parametrize("alias", ["production", "beta"])
@pytest.mark.parametrize("seen", ["*", '"1"'])
async def test_what_must_exist_and_must_not_never_happens(alias: str, seen: str, client: httpx.AsyncClient) -> None:
    await three(client)
    both = {"if-match": seen, "if-none-match": "*"}

    answer = await client.put(f"/programs/answers/aliases/{alias}", json={"version": 2}, headers=both)

    assert (answer.status_code, answer.json()["error"]) == (412, "alias_moved")


async def test_a_rollback_is_one_call(client: httpx.AsyncClient) -> None:
    await three(client)
    path = "/programs/answers/aliases/production"
    first = await client.post(f"{path}/rollback")
    await client.put(path, json={"version": 3})

    back = await client.post(f"{path}/rollback")

    assert (first.status_code, first.json()["error"]) == (409, "nothing_to_roll_back")
    assert (back.status_code, back.json()["version"], back.json()["previous_version"]) == (200, 1, 3)
    assert (await client.get(path)).json() == back.json()


async def test_an_alias_can_be_forgotten_but_production_cannot(client: httpx.AsyncClient) -> None:
    await deploy(client)
    await client.put("/programs/answers/aliases/beta", json={"version": 1})

    gone = await client.delete("/programs/answers/aliases/beta")
    again = await client.delete("/programs/answers/aliases/beta")
    kept = await client.delete("/programs/answers/aliases/production")

    assert (gone.status_code, gone.content, again.status_code) == (204, b"", 404)
    assert (kept.status_code, kept.json()["error"]) == (400, "unsupported_request")


@pytest.mark.parametrize("alias", ["v3", "Beta", "1", "a%20b"])
async def test_an_alias_has_a_name_that_is_no_version(alias: str, client: httpx.AsyncClient) -> None:
    await deploy(client)

    made = await client.put(f"/programs/answers/aliases/{alias}", json={"version": 1})
    read = await client.get(f"/programs/answers/aliases/{alias}")

    assert (made.status_code, made.json()["detail"][0]["field"]) == (422, "alias")
    assert read.status_code == 404
