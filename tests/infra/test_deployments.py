"""Every deployment that the parameters allow has every property; a change that breaks one is noticed."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from image_core.api.origin import ALLOWED_HEADERS
from image_core.settings import Settings, SettingsError
from local.provision import cors_rule
from tests.infra import properties
from tests.infra.predicted import Predict, Prediction

OPERATOR = "11111111-1111-1111-1111-111111111111"

DEPLOYMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "dev": ("dev", {}),
    "prod": ("prod", {}),
    "private": ("prod", {"imageAccess": "private", "operatorPrincipalId": OPERATOR}),
    "site": ("prod", {"staticWebApp": True, "nextAuthUrl": "https://app.example.com", "alertEmail": "ops@example.com"}),
    "private-site": ("dev", {"staticWebApp": True, "imageAccess": "private", "previousSecret": True}),
    "longest": ("dev", {"environmentName": "a-very-long-name", "staticWebApp": True}),
    "large": (
        "prod",
        {
            "cosmosThroughput": "autoscale",
            "instanceMemoryMB": 4096,
            "recordDays": 30,
            "dailyBudgetUsd": "100",
            "dailyBudgetUsdPerUser": "2.5",
            "allowedOrigins": ["https://www.example.com", "https://example.com"],
        },
    ),
}


@pytest.mark.parametrize("check", properties.PROPERTIES, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_deployment_has_every_property(
    name: str, check: Callable[[Prediction], None], predictions: Predict
) -> None:
    base, parameters = DEPLOYMENTS[name]
    check(predictions(base, **parameters))


def test_always_ready_costs_only_production(predictions: Predict) -> None:
    def always(base: str) -> object:
        app = predictions(base).one("Microsoft.Web/sites")["properties"]["functionAppConfig"]
        return app["scaleAndConcurrency"]["alwaysReady"]

    assert always("dev") == []
    assert always("prod") == [{"name": "http", "instanceCount": 1}]


def test_a_site_is_there_only_where_it_is_asked_for(predictions: Predict) -> None:
    base, parameters = DEPLOYMENTS["site"]
    assert len(predictions(base, **parameters).of("Microsoft.Web/staticSites")) == 1
    assert predictions("prod").of("Microsoft.Web/staticSites") == []


def test_role_assignments_have_the_same_names_at_every_deployment(predictions: Predict) -> None:
    """Else running it again would be refused: the same role, twice, under two names."""

    def names(**parameters: object) -> set[str]:
        predicted = predictions("dev", **parameters)
        kinds = ("Microsoft.Authorization/roleAssignments", f"{properties.COSMOS}/sqlRoleAssignments")
        return {each["name"] for kind in kinds for each in predicted.of(kind)}

    assert names() == names(instanceMemoryMB=4096)
    assert not names() & names(environmentName="other")


def test_the_operator_may_set_secrets_and_nothing_else(predictions: Predict) -> None:
    predicted = predictions("dev", operatorPrincipalId=OPERATOR)
    given = predicted.of("Microsoft.Authorization/roleAssignments")
    mine = [each for each in given if each["properties"]["principalId"] == OPERATOR]
    assert len(mine) == 1
    assert "/vaults/" in mine[0]["id"]
    assert mine[0]["properties"]["roleDefinitionId"].endswith("b86a8fe4-44ce-4948-aee5-eccb2c155cd7")


def test_alerts_reach_somebody_where_an_address_is_given(predictions: Predict) -> None:
    predicted = predictions("prod", alertEmail="ops@example.com")
    rules = predicted.of("Microsoft.Insights/scheduledQueryRules")
    assert {rule["name"].rsplit("-", 1)[-1] for rule in rules} == {"failures", "slow", "unavailable", "poison", "money"}
    for rule in rules:
        assert rule["properties"]["actions"]["actionGroups"], rule["name"]
    metric = predicted.one("Microsoft.Insights/metricAlerts")
    assert metric["properties"]["actions"]
    assert metric["properties"]["criteria"]["allOf"][0]["dimensions"][0]["values"] == ["429"]


def test_the_vault_comes_by_itself_and_the_same_as_with_everything(predictions: Predict) -> None:
    """infra/deploy.sh puts the secrets in before it deploys the settings that refer to them."""
    first, all_of_it = (
        predictions("dev", vaultOnly=True, operatorPrincipalId=OPERATOR),
        predictions("dev", operatorPrincipalId=OPERATOR),
    )
    kinds = {each["type"] for each in first.resources}
    assert "Microsoft.KeyVault/vaults" in kinds
    assert not {
        kind for kind in kinds if kind.startswith(("Microsoft.Web/", "Microsoft.Storage/", "Microsoft.DocumentDB/"))
    }
    known = {each["id"]: each for each in all_of_it.resources}
    for each in first.resources:
        assert known[each["id"]] == each
    roles = {
        each["properties"]["roleDefinitionId"][-40:] for each in first.of("Microsoft.Authorization/roleAssignments")
    }
    assert len(roles) == 3, "the operator's, the app's, and that for metrics"


@pytest.mark.parametrize(
    "address", ["https://app.example.com", "https://app.example.com/", "https://app.example.com/api/auth"]
)
def test_pages_of_the_front_end_may_read_images(address: str, predictions: Predict) -> None:
    """An origin has no path, and no slash at its end: a browser compares it letter by letter."""
    predicted = predictions("dev", nextAuthUrl=address, allowedOrigins=["https://www.example.com"])
    account = predicted.one(properties.STORAGE, "stpics")["name"]
    (rule,) = predicted.one(f"{properties.STORAGE}/blobServices", account)["properties"]["cors"]["corsRules"]
    assert sorted(rule["allowedOrigins"]) == ["https://app.example.com", "https://www.example.com"]
    assert rule["allowedMethods"] == ["GET", "HEAD"]
    assert (
        predictions("dev").one(f"{properties.STORAGE}/blobServices", account)["properties"]["cors"]["corsRules"] == []
    )


def test_pages_may_send_to_the_images_what_they_may_send_to_the_api(predictions: Predict) -> None:
    """But for what only a call of the API has: a tracing library adds its headers to both."""
    predicted = predictions("dev", nextAuthUrl="https://app.example.com")
    account = predicted.one(properties.STORAGE, "stpics")["name"]
    (rule,) = predicted.one(f"{properties.STORAGE}/blobServices", account)["properties"]["cors"]["corsRules"]
    taken = {name.strip().lower() for name in ALLOWED_HEADERS.split(",")} - {
        "content-type",
        "idempotency-key",
        "prefer",
    }
    assert taken == set(rule["allowedHeaders"]) - {"x-ms-*"}


def test_pages_of_the_site_may_read_images(predictions: Predict) -> None:
    """Its host name is known to Azure alone: the prediction has the reference to it."""
    base, parameters = DEPLOYMENTS["site"]
    predicted = predictions(base, **parameters)
    account = predicted.one(properties.STORAGE, "stpics")["name"]
    rules = predicted.one(f"{properties.STORAGE}/blobServices", account)["properties"]["cors"]["corsRules"]
    assert re.search(r"https://\{0\}', reference\('[^']*/staticSites/swa-prod-\w+'.*defaultHostname", rules)
    assert "'https://app.example.com'" in rules


def test_the_local_emulator_gets_the_same_rule_for_pages(predictions: Predict) -> None:
    predicted = predictions("dev", nextAuthUrl="https://app.example.com")
    account = predicted.one(properties.STORAGE, "stpics")["name"]
    (rule,) = predicted.one(f"{properties.STORAGE}/blobServices", account)["properties"]["cors"]["corsRules"]
    made = cors_rule(("https://app.example.com",))
    assert rule == {
        "allowedOrigins": made.allowed_origins.split(","),
        "allowedMethods": made.allowed_methods.split(","),
        "allowedHeaders": made.allowed_headers.split(","),
        "exposedHeaders": made.exposed_headers.split(","),
        "maxAgeInSeconds": made.max_age_in_seconds,
    }


def test_a_restored_account_takes_the_place_of_the_environments_own(predictions: Predict) -> None:
    """The settings have its address, and the app gets its role again: a restored account has no role assignments."""
    before, after = predictions("dev"), predictions("dev", cosmosAccountName="cosmos-restored")
    assert after.of(properties.COSMOS) == [], "it exists, and how it was restored cannot be changed"
    containers = f"{properties.COSMOS}/sqlDatabases/containers"
    assert len(after.of(containers)) == len(before.of(containers))
    assert all(each["name"].startswith("cosmos-restored/catafract/") for each in after.of(containers))
    for name in ("AZURE_COSMOS_ENDPOINT", "COSMOS__accountEndpoint"):
        assert after.settings[name] == "https://cosmos-restored.documents.azure.com:443/"
    (old,), (new,) = (each.of(f"{properties.COSMOS}/sqlRoleAssignments") for each in (before, after))
    assert old["name"] != new["name"]
    assert new["properties"]["scope"].endswith("/databaseAccounts/cosmos-restored/dbs/catafract")


@pytest.mark.parametrize("seconds", ["", "25"])
def test_the_response_budget_is_the_products_own_unless_one_is_given(seconds: str, predictions: Predict) -> None:
    predicted = predictions("dev", responseBudgetSeconds=seconds)
    assert predicted.settings["RESPONSE_BUDGET_SECONDS"] == seconds
    budget = Settings.read({"RESPONSE_BUDGET_SECONDS": seconds}).response_budget_seconds
    assert budget == (float(seconds) if seconds else None)


MUTATIONS = {
    "keys of the host's storage": (
        "modules/host-storage.bicep",
        "allowSharedKeyAccess: false",
        "allowSharedKeyAccess: true",
    ),
    "keys of the images": ("modules/image-storage.bicep", "allowSharedKeyAccess: false", "allowSharedKeyAccess: true"),
    "keys of the database": ("modules/database.bicep", "disableLocalAuth: true", "disableLocalAuth: false"),
    "logs from anybody": ("modules/monitoring.bicep", "DisableLocalAuth: true", "DisableLocalAuth: false"),
    "a wider role": (
        "modules/image-storage.bicep",
        "'ba92f5b4-2d11-453d-a403-e96b0029c9fe'",
        "'b24988ac-6180-42a0-ab88-20f7382dd24c'",
    ),
    "a wider scope": ("modules/image-storage.bicep", "scope: account::blobs::images", "scope: account"),
    "the database's account": (
        "modules/containers.bicep",
        "scope: '${account.id}/dbs/${database.name}'",
        "scope: account.id",
    ),
    "a stranger": (
        "modules/vault.bicep",
        "principalId: identity.properties.principalId",
        "principalId: '22222222-2222-2222-2222-222222222222'",
    ),
    "a secret as a plain setting": (
        "modules/functions.bicep",
        "'@Microsoft.KeyVault(SecretUri=${vaultUri}/secrets/NEXTAUTH-SECRET/)'",
        "'a plain secret'",
    ),
    "a connection string": (
        "modules/functions.bicep",
        "AZURE_STORAGE_ACCOUNT_URL: imageStorageUrl",
        "AZURE_STORAGE_CONNECTION_STRING: imageStorageUrl",
    ),
    "a setting that nobody reads": (
        "modules/functions.bicep",
        "NEXTAUTH_JWT: sessionFormat",
        "NEXTAUTH_MODE: sessionFormat",
    ),
    "a setting that Flex refuses": (
        "modules/functions.bicep",
        "AZURE_CLIENT_ID: identity.properties.clientId",
        "AZURE_CLIENT_ID: identity.properties.clientId\n  FUNCTIONS_WORKER_RUNTIME: 'python'",
    ),
    "images public while private": (
        "modules/image-storage.bicep",
        "allowBlobPublicAccess: imageAccess == 'public'",
        "allowBlobPublicAccess: true",
    ),
    "a container that lists": ("modules/image-storage.bicep", "? 'Blob'", "? 'Container'"),
    "public inputs": (
        "modules/image-storage.bicep",
        "name: 'catafract-private'\n      properties: { publicAccess: 'None' }",
        "name: 'catafract-private'\n      properties: { publicAccess: 'Blob' }",
    ),
    "inputs that stay": (
        "modules/image-storage.bicep",
        "enabled: true\n            type: 'Lifecycle'",
        "enabled: false\n            type: 'Lifecycle'",
    ),
    "renditions that stay": (
        "modules/image-storage.bicep",
        "name: 'renditions'\n            enabled: true",
        "name: 'renditions'\n            enabled: false",
    ),
    "every image goes": (
        "modules/image-storage.bicep",
        "blobIndexMatch: [{ name: 'kind', op: '==', value: 'upload' }]",
        "blobIndexMatch: [{ name: 'kind', op: '==', value: 'image' }]",
    ),
    "no reads are noted": ("modules/image-storage.bicep", "enable: true\n", "enable: false\n"),
    "one request at a time": (
        "modules/functions.bicep",
        "perInstanceConcurrency: httpConcurrency",
        "perInstanceConcurrency: 1",
    ),
    "another runtime": ("modules/functions.bicep", "version: '3.13'", "version: '3.10'"),
    "another partition key": ("modules/containers.bicep", "paths: ['/userId']", "paths: ['/id']"),
    "a query without its index": ("modules/containers.bicep", "{ path: '/leaseExpiresAt/?' }", "{ path: '/other/?' }"),
    "names too long": (
        "main.bicep",
        "compact = take(replace(environmentName, '-', ''), 7)",
        "compact = replace(environmentName, '-', '')",
    ),
    "publishing by password": (
        "modules/functions.bicep",
        "name: 'scm'\n    properties: { allow: false }",
        "name: 'scm'\n    properties: { allow: true }",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_change_that_breaks_a_property_is_noticed(name: str, changed: Predict) -> None:
    private = {"imageAccess": "private"} if name == "images public while private" else {}
    predicted = changed(*MUTATIONS[name], environmentName="a-very-long-name", **private)
    broken = []
    for check in properties.PROPERTIES:
        try:
            check(predicted)
        except (AssertionError, SettingsError):
            broken.append(check.__name__)
    assert broken, "no property noticed it"
