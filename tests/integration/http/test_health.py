"""`GET /api/health?deep=1` where a container or a database does not exist."""

from typing import Any

import pytest
from azure.cosmos.aio import CosmosClient

import function_app
from image_core.storage.cosmos import LEASES
from local.emulators import AzuritePorts, cosmos_connection_string
from local.provision import Names, provision_cosmos
from tests.support.harness import Harness, harness


async def dependencies(product: Harness, status: int) -> dict[str, Any]:
    answer = await product.call("GET", "/api/health?deep=1", signed_in=False)
    assert answer.status == status, answer.body
    assert "devstoreaccount1" not in answer.body.decode()
    found: dict[str, Any] = answer.json["dependencies"]
    return found


MISSING = {
    "AZURE_COSMOS_CONTAINER": ("database", "catafract/nowhere"),
    "AZURE_COSMOS_USAGE_CONTAINER": ("database", "catafract/nowhere"),
    "AZURE_STORAGE_CONTAINER": ("storage", "nowhere"),
    "AZURE_STORAGE_PRIVATE_CONTAINER": ("storage", "nowhere"),
}


@pytest.mark.parametrize("setting", MISSING)
async def test_missing_container_is_down_and_named(setting: str, azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    dependency, container = MISSING[setting]
    async with harness(azurite_ports, cosmos_url, **{setting: "nowhere"}) as product:
        found = await dependencies(product, 503)
    assert {name for name, state in found.items() if state["status"] != "ok"} == {dependency}
    assert found[dependency]["code"] == "storage_unavailable"
    assert [name for name, state in found[dependency]["containers"].items() if state == "missing"] == [container]


async def test_missing_database_is_down_with_all_of_its_containers(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    async with harness(azurite_ports, cosmos_url, AZURE_COSMOS_DATABASE="nowhere") as product:
        found = await dependencies(product, 503)
    names = ("nowhere/generations", "nowhere/usage", "nowhere/leases")
    assert found["database"]["containers"] == dict.fromkeys(names, "missing")


async def test_container_that_is_deleted_and_created_again_is_reported_by_a_running_process(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    direct = cosmos_connection_string(cosmos_url)
    await provision_cosmos(direct, Names(database="short-lived"))
    async with harness(azurite_ports, cosmos_url, AZURE_COSMOS_DATABASE="short-lived") as product:
        assert (await dependencies(product, 200))["database"]["status"] == "ok"
        async with CosmosClient.from_connection_string(direct) as client:
            await client.get_database_client("short-lived").delete_container(LEASES)
        async with product.another() as later:  # a process caches its answer for ten seconds
            found = await dependencies(later, 503)
            assert found["database"]["containers"]["short-lived/leases"] == "missing"
            # A process that has used the container gets a 404 that only its sub-status distinguishes.
            assert (await product.app.components.probe_database())["short-lived/leases"] == "missing"
            await provision_cosmos(direct, Names(database="short-lived"))
            assert set((await later.app.components.probe_database()).values()) == {"ok"}
            assert set((await product.app.components.probe_database()).values()) == {"ok"}


async def test_call_while_a_container_is_missing_is_503_and_not_404(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    async with harness(azurite_ports, cosmos_url, AZURE_COSMOS_CONTAINER="nowhere") as product:
        answer = await product.call("GET", "/api/generations/gen-1704067230000-abc")
        assert (answer.status, answer.json["code"]) == (503, "storage_unavailable")


async def test_service_that_does_not_answer_is_down(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url) as product:
        product.cosmos.unreachable = True
        found = await dependencies(product, 503)
    assert found["database"]["status"] == "down"
    assert found["storage"]["status"] == "ok"


def test_health_checks_the_lease_container_of_the_change_feed() -> None:
    triggers = [
        binding
        for function in function_app.app.get_functions()
        for binding in function.get_bindings()
        if binding.get_binding_name() == "cosmosDBTrigger"
    ]
    assert [trigger.get_dict_repr()["leaseContainerName"] for trigger in triggers] == [LEASES]
