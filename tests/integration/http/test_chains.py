"""Edit chains: `from`, the fields that connect the generations, replayed turns and the list of a chain."""

import asyncio
from dataclasses import replace
from typing import Any

import PIL.Image
import pytest
from azure.storage.blob.aio import BlobServiceClient

from image_core.settings import DEFAULT_CHAIN
from local.gemini.script import Scripted, expired_signature, finished, overloaded
from tests.support.faulty_proxy import Rule
from tests.support.harness import PROMPT, Answer, Harness, data_url, sample_image
from tests.support.image_files import saved
from tests.support.original_product import put_blob, put_record

NEXT = DEFAULT_CHAIN[1]


async def edit(product: Harness, earlier: str, *images: str, prompt: str = PROMPT, **fields: Any) -> Answer:
    """Edit an earlier generation and return the answer."""
    return await product.call(
        "POST", "/api/image", {"from": earlier, "images": list(images), "prompt": prompt, **fields}
    )


async def detail(product: Harness, record_id: str) -> dict[str, Any]:
    return (await product.call("GET", f"/api/generations/{record_id}")).json


async def listed(product: Harness, root: str, query: str = "") -> list[str]:
    page = await product.call("GET", f"/api/generations?root={root}{query}")
    assert page.status == 200
    return [item["id"] for item in page.json["items"]]


async def test_edit_has_the_earlier_image_as_its_first_input(product: Harness) -> None:
    product.fake_gemini.keep_inputs = True
    first = await product.generate()
    second = await edit(product, first.json["id"], data_url(sample_image(), "image/jpeg"))
    assert second.status == 200, second.body
    found = await detail(product, second.json["id"])
    assert [each["width"] for each in found["inputs"]] == [first.json["width"], 600]
    assert found["inputImages"][0] == f"/api/images/{first.json['id']}"
    copy = await product.call("GET", f"/api/images/{found['inputs'][0]['name']}")
    assert copy.body == first.image


async def test_edit_needs_no_images(product: Harness) -> None:
    first = await product.generate()
    without: list[dict[str, Any]] = [{}, {"images": None}, {"images": []}]
    for images in without:
        body = {"from": first.json["id"], "prompt": PROMPT, **images}
        assert (await product.call("POST", "/api/image", body)).status == 200


async def test_generations_of_a_chain_have_their_parent_and_the_root(product: Harness) -> None:
    first = await product.generate()
    second = await edit(product, first.json["id"])
    third = await edit(product, second.json["id"])
    branch = await edit(product, first.json["id"])
    ids = [answer.json["id"] for answer in (first, second, third, branch)]
    found = [await detail(product, each) for each in ids]
    assert [each["parentId"] for each in found] == [None, ids[0], ids[1], ids[0]]
    assert [each["rootId"] for each in found] == [None, ids[0], ids[0], ids[0]]
    items = (await product.call("GET", f"/api/generations?root={ids[0]}")).json["items"]
    assert [(item["id"], item["parentId"], item["rootId"]) for item in items] == [
        (ids[1], ids[0], ids[0]), (ids[2], ids[1], ids[0]), (ids[3], ids[0], ids[0]),
    ]  # fmt: skip
    assert (await product.call("GET", "/api/generations")).json["items"][-1]["rootId"] is None


async def test_list_of_a_chain_is_paged_oldest_first(product: Harness) -> None:
    root = (await product.generate()).json["id"]
    made = [(await edit(product, root)).json["id"] for _ in range(3)]
    first = (await product.call("GET", f"/api/generations?root={root}&limit=2")).json
    assert [item["id"] for item in first["items"]] == made[:2]
    assert await listed(product, root, f"&limit=2&continuation={first['continuation']}") == made[2:]
    answer = await product.call("GET", f"/api/generations?root={root}&continuation=eyJhIjoxfQ")
    assert (answer.status, answer.json["field"]) == (400, "continuation")


async def test_deleting_a_generation_leaves_its_descendants(product: Harness) -> None:
    first = await product.generate()
    second = await edit(product, first.json["id"])
    third = await edit(product, second.json["id"])
    for answer in (first, second):
        assert (await product.call("DELETE", f"/api/generations/{answer.json['id']}")).status == 204
    assert await listed(product, first.json["id"]) == [third.json["id"]]
    assert (await detail(product, third.json["id"]))["parentId"] == second.json["id"]
    assert (await edit(product, third.json["id"])).status == 200
    assert (await edit(product, second.json["id"])).status == 404


async def test_unknown_id_and_another_users_id_have_the_same_error(product: Harness) -> None:
    mine = (await product.generate()).json["id"]
    made = len(product.fake_gemini.calls)
    async with product.another("somebody-else@example.com") as other:
        theirs = await edit(other, mine)
        assert await listed(other, mine) == []
    unknown_ids = ("gen-1767225600000-4f1c2a9be07d3358", "gen-a/b", "gen-../x", "x", "gen-" + "x" * 250)
    answers = [theirs, *[await edit(product, each) for each in unknown_ids]]
    assert {(answer.status, answer.json["code"], answer.json["field"]) for answer in answers} == {
        (404, "not_found", "from")
    }
    assert len({answer.body for answer in answers}) == 1
    assert len(product.fake_gemini.calls) == made


@pytest.mark.parametrize("value", [5, ["gen-1"], {}, True, "g" * 256], ids=type)
async def test_malformed_id_is_400(product: Harness, value: Any) -> None:
    answer = await product.call("POST", "/api/image", {"from": value, "images": [], "prompt": PROMPT})
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "invalid_request", "from")


@pytest.mark.parametrize("value", [None, ""])
async def test_empty_id_counts_as_absent(product: Harness, value: str | None) -> None:
    answer = await product.call("POST", "/api/image", {"from": value, "images": [], "prompt": PROMPT})
    assert (answer.status, answer.json["code"]) == (400, "no_images")


async def test_edit_of_a_failed_generation_is_409(product: Harness) -> None:
    product.fake_gemini.script.add(finished("SAFETY"))
    failed = await product.generate()
    answer = await edit(product, failed.json["id"])
    assert (answer.status, answer.json["code"], answer.json["field"]) == (409, "conflict", "from")


async def test_edit_of_a_running_generation_is_409(product: Harness) -> None:
    product.fake_gemini.script.add(Scripted(delay=20))
    running = await product.generate(headers={"Prefer": "wait=0"})
    assert running.status == 202
    answer = await edit(product, running.json["id"])
    assert (answer.status, answer.json["code"], answer.json["retryable"]) == (409, "conflict", False)
    await product.call("POST", f"/api/generations/{running.json['id']}/cancel")
    await product.drained()


async def test_edit_of_a_deleted_image_is_409(product: Harness) -> None:
    first = (await product.generate()).json
    async with BlobServiceClient.from_connection_string(product.environment["DIRECT_STORAGE"]) as client:
        await client.get_blob_client("catafract", first["imageUrl"].rsplit("/", 1)[-1]).delete_blob()
    answer = await edit(product, first["id"])
    assert (answer.status, answer.json["code"], answer.json["details"]) == (409, "conflict", "there is no such image")


async def test_invalid_image_is_named_by_its_index_in_the_request(product: Harness) -> None:
    first = (await product.generate()).json["id"]
    answer = await edit(product, first, data_url(sample_image(), "image/jpeg"), "data:image/png;base64,AAAA")
    assert (answer.status, answer.json["imageIndex"]) == (400, 1)


async def test_earlier_image_counts_among_the_images(product: Harness) -> None:
    first = (await product.generate()).json["id"]
    cup = data_url(sample_image(), "image/jpeg")
    async with product.another(MAX_IMAGES="2") as small:
        assert (await edit(small, first, cup)).status == 200
        answer = await edit(small, first, cup, cup)
    assert (answer.status, answer.json["field"]) == (400, "images")


async def test_limit_of_image_bytes_does_not_apply_to_the_earlier_image(product: Harness) -> None:
    first = (await product.generate()).json["id"]
    async with product.another(MAX_IMAGE_BYTES="1000") as small:
        assert (await edit(small, first)).status == 200


async def test_images_are_edited_after_the_access_setting_was_changed(product: Harness) -> None:
    public = (await product.generate()).json["id"]
    async with product.another(IMAGE_ACCESS="private") as private:
        second = await edit(private, public)
        assert second.status == 200, second.body
        assert (await edit(private, second.json["id"])).status == 200
    assert (await edit(product, second.json["id"])).status == 200


async def test_image_of_the_original_product_is_edited(product: Harness) -> None:
    written = f"Ada.{product.email.partition('@')[0]}@Example.com"
    ada = replace(product, email=written)
    url = await put_blob(product, "generated-1704067230000.png", sample_image("cat.png"))
    await put_record(product, written, "gen-1704067230000-abc", "2024-01-01T00:00:30.000Z", outputImageUrl=url)
    answer = await edit(ada, "gen-1704067230000-abc")
    assert answer.status == 200, answer.body
    found = await detail(ada, answer.json["id"])
    assert (found["parentId"], found["userId"]) == ("gen-1704067230000-abc", written.lower())
    assert await listed(ada, "gen-1704067230000-abc") == [answer.json["id"]]


async def test_idempotency_key_covers_the_earlier_generation(product: Harness) -> None:
    first, other = [(await product.generate()).json["id"] for _ in range(2)]
    headers = {"Idempotency-Key": "a-chain"}

    async def keyed(earlier: str) -> Answer:
        return await product.call("POST", "/api/image", {"from": earlier, "prompt": PROMPT}, headers)

    made = await keyed(first)
    assert made.status == 200
    assert (await keyed(other)).status == 422
    await product.call("DELETE", f"/api/generations/{first}")
    again = await keyed(first)  # the deleted generation is not needed for a replay
    assert (again.json["id"], again.headers["Idempotency-Replayed"]) == (made.json["id"], "true")


async def test_dry_run_lists_the_earlier_image(product: Harness) -> None:
    first = (await product.generate()).json
    run = await edit(product, first["id"], dryRun=True)
    assert run.status == 200
    assert [(each["width"], each["height"]) for each in run.json["inputs"]] == [(first["width"], first["height"])]
    assert (await edit(product, "gen-1767225600000-4f1c2a9be07d3358", dryRun=True)).status == 404


async def test_queued_edit_runs_from_its_input_copies(product: Harness) -> None:
    first = (await product.generate()).json["id"]
    answer = await product.call("POST", "/api/image", {"from": first, "prompt": PROMPT}, {"Prefer": "respond-async"})
    assert answer.status == 202
    await product.call("DELETE", f"/api/generations/{first}")
    await asyncio.gather(*(product.app.resume(message.encode()) for message in answer.enqueue))
    assert (await detail(product, answer.json["id"]))["status"] == "succeeded"


def warning_codes(answer: Answer) -> list[str]:
    return [warning.partition(":")[0] for warning in answer.json["warnings"]]


def turns(product: Harness) -> list[int]:
    """Return the number of earlier turns that each model call replayed."""
    return [call.turns for call in product.fake_gemini.calls]


async def test_edit_replays_the_turns_that_led_to_the_image(product: Harness) -> None:
    first = await product.generate()
    second = await edit(product, first.json["id"], data_url(sample_image(), "image/jpeg"))
    third = await edit(product, second.json["id"])
    assert [answer.json["warnings"] for answer in (first, second, third)] == [[], [], []]
    assert [(call.turns, call.inputs) for call in product.fake_gemini.calls] == [(0, 1), (1, 1), (2, 0)]
    stored = [await product.record(answer.json["id"]) or {} for answer in (first, second, third)]
    assert [len(each.get("context", [])) for each in stored] == [0, 1, 2]
    assert all(each["turn"]["name"].startswith(each["blobStem"]) for each in stored)
    shown = await detail(product, third.json["id"])
    assert not {"turn", "context"} & shown.keys()


async def test_edit_replays_at_most_three_turns_and_the_oldest_with_its_images(product: Harness) -> None:
    made = await product.generate()
    for _ in range(5):
        made = await edit(product, made.json["id"])
        assert made.json["warnings"] == []
    assert turns(product) == [0, 1, 2, 3, 3, 3]
    assert product.fake_gemini.calls[-1].status == 200  # the oldest turn begins with the image that it edited


async def test_branch_replays_its_own_turns(product: Harness) -> None:
    first = await product.generate()
    second = await edit(product, first.json["id"])
    await edit(product, second.json["id"])
    await edit(product, first.json["id"])
    assert turns(product) == [0, 1, 2, 1]


async def test_another_model_gets_the_image_alone_and_begins_a_new_chain_of_turns(product: Harness) -> None:
    first = await product.generate()
    second = await edit(product, first.json["id"], model=NEXT)
    assert warning_codes(second) == ["context_not_kept"]
    third = await edit(product, second.json["id"], model=NEXT)
    assert warning_codes(third) == []
    assert turns(product) == [0, 0, 1]
    assert [call.inputs for call in product.fake_gemini.calls] == [1, 1, 0]


async def test_refused_signature_costs_nothing_and_gives_a_warning(product: Harness) -> None:
    first = await product.generate()
    product.fake_gemini.script.add(expired_signature())
    second = await edit(product, first.json["id"])
    assert (second.status, warning_codes(second)) == (200, ["context_not_kept"])
    assert [attempt["outcome"] for attempt in second.json["attempts"]] == ["context_refused", "ok"]
    assert "usage" not in second.json["attempts"][0]
    assert turns(product) == [0, 1, 0]
    record = await product.record(second.json["id"]) or {}
    assert "context" not in record
    third = await edit(product, second.json["id"])
    assert (warning_codes(third), turns(product)[-1]) == ([], 1)


async def test_deleting_a_generation_deletes_its_turn(product: Harness) -> None:
    first = await product.generate()
    second = await edit(product, first.json["id"])
    kept = await product.blob_names("catafract-private", "turns/")
    stem = ((await product.record(first.json["id"])) or {})["blobStem"]
    assert sum(stem in name for name in kept) == 1
    await product.call("DELETE", f"/api/generations/{first.json['id']}")
    assert not any(stem in name for name in await product.blob_names("catafract-private", "turns/"))
    third = await edit(product, second.json["id"])
    assert (third.status, warning_codes(third), turns(product)[-1]) == (200, [], 1)


async def delete_blobs(product: Harness, prefix: str) -> None:
    """Delete private blobs, as the lifecycle rule does."""
    async with BlobServiceClient.from_connection_string(product.environment["DIRECT_STORAGE"]) as client:
        container = client.get_container_client("catafract-private")
        async for blob in container.list_blobs(prefix):
            await container.delete_blob(blob.name)


@pytest.mark.parametrize("prefix", ["turns/", "inputs/"])
async def test_edit_without_its_expired_turns_sends_the_image(product: Harness, prefix: str) -> None:
    first = await product.generate()
    folder = await product.blob_names("catafract-private", "turns/")
    mine = next(
        name.split("/")[1] for name in folder if first.json["imageUrl"].rsplit("/", 1)[-1].partition(".")[0] in name
    )
    await delete_blobs(product, f"{prefix}{mine}/")
    second = await edit(product, first.json["id"])
    assert (second.status, warning_codes(second), turns(product)) == (200, ["context_not_kept"], [0, 0])


async def test_turn_that_cannot_be_stored_fails_no_generation(product: Harness) -> None:
    rule = product.blobs.rule(Rule(lambda _, path: "/turns/" in path, times=1000, forward=False))
    first = await product.generate()
    assert first.status == 200
    assert rule.hits
    product.blobs.reconnect()
    assert warning_codes(await edit(product, first.json["id"])) == ["context_not_kept"]


async def test_queued_edit_replays_its_turns(product: Harness) -> None:
    first = await product.generate()
    body = {"from": first.json["id"], "prompt": PROMPT}
    answer = await product.call("POST", "/api/image", body, {"Prefer": "respond-async"})
    await asyncio.gather(*(product.app.resume(message.encode()) for message in answer.enqueue))
    found = await detail(product, answer.json["id"])
    assert (found["status"], found["warnings"], turns(product)) == ("succeeded", [], [0, 1])


async def test_edit_that_runs_again_replays_its_turns(product: Harness) -> None:
    first = await product.generate()
    product.fake_gemini.script.add(finished(None), finished(None), *[overloaded()] * 4)
    body, headers = {"from": first.json["id"], "prompt": PROMPT}, {"Idempotency-Key": "again"}
    failed = await product.call("POST", "/api/image", body, headers)
    assert failed.status >= 500
    expected = ((await product.record(failed.json["id"])) or {})["expectedUsd"]
    assert failed.json["retryable"] is True
    again = await product.call("POST", "/api/image", body, headers)
    assert (again.status, warning_codes(again), turns(product)[-1]) == (200, [], 1)
    assert ((await product.record(again.json["id"])) or {})["expectedUsd"] == expected


async def test_estimate_covers_replayed_turns(product: Harness) -> None:
    first = await product.generate()
    expected = [(await product.generate(dryRun=True)).json["estimatedCostUsd"]]
    made = [first]
    for _ in range(2):
        expected.append((await edit(product, made[-1].json["id"], dryRun=True)).json["estimatedCostUsd"])
        made.append(await edit(product, made[-1].json["id"]))
    tokens = [answer.json["usage"]["inputTokens"] for answer in made]
    assert expected == sorted(set(expected))
    assert tokens == sorted(set(tokens))
    for answer, usd in zip(made, expected, strict=True):
        assert answer.json["usage"]["costUsd"] <= usd
        stored = await product.record(answer.json["id"]) or {}
        assert stored["expectedUsd"] == usd


async def test_dry_run_says_whether_the_context_is_kept(product: Harness) -> None:
    first = (await product.generate()).json["id"]
    assert warning_codes(await edit(product, first, dryRun=True)) == []
    assert warning_codes(await edit(product, first, dryRun=True, model=NEXT)) == ["context_not_kept"]


async def test_turns_that_do_not_fit_into_memory_are_left_out(product: Harness) -> None:
    first = (await product.generate()).json["id"]
    second = await edit(product, first)
    stored = (await product.record(second.json["id"])) or {}
    newest = stored["turn"]["bytes"] + stored["inputs"][0]["bytes"]
    # Two fifths of the limit are working memory, and one request may have half of that.
    limit = 5 * (len(second.image) + newest + 1000)
    async with product.another(MAX_INFLIGHT_BYTES=str(limit)) as small:
        third = await edit(small, second.json["id"])
        assert (third.status, warning_codes(third), turns(product)[-1]) == (200, [], 1)
    async with product.another(MAX_INFLIGHT_BYTES=str(limit - 5 * 2000)) as smaller:
        third = await edit(smaller, second.json["id"])
        assert (third.status, warning_codes(third), turns(product)[-1]) == (200, ["context_not_kept"], 0)


def mask_of(answer: Answer, value: int) -> str:
    """Return a mask for the image of an answer: a rectangle in its middle with `value` 0, all of it with 255."""
    mask = PIL.Image.new("L", (answer.json["width"], answer.json["height"]), value)
    width, height = mask.size
    mask.paste(255, (width // 4, height // 4, 3 * width // 4, 3 * height // 4))
    return data_url(saved(mask, "PNG"))


async def test_masked_edit_neither_replays_nor_stores_a_turn(product: Harness) -> None:
    first = await product.generate()
    second = await edit(product, first.json["id"], mask=mask_of(first, 0))
    third = await edit(product, second.json["id"])
    fourth = await edit(product, third.json["id"])
    assert ["context_not_kept" in warning_codes(answer) for answer in (second, third, fourth)] == [True, True, False]
    assert turns(product) == [0, 0, 0, 1]


async def test_edit_with_a_mask_of_the_whole_image_replays_turns(product: Harness) -> None:
    first = await product.generate()
    second = await edit(product, first.json["id"], mask=mask_of(first, 255))
    assert (second.status, warning_codes(second), turns(product)) == (200, [], [0, 1])
