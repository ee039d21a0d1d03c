"""Deployments with typical parameters have every property, and a change that breaks a property is detected."""

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
def test_deployment_has_property(name: str, check: Callable[[Prediction], None], predictions: Predict) -> None:
    base, parameters = DEPLOYMENTS[name]
    check(predictions(base, **parameters))


def test_only_production_has_an_always_ready_instance(predictions: Predict) -> None:
    def always_ready(base: str) -> object:
        app = predictions(base).one("Microsoft.Web/sites")["properties"]["functionAppConfig"]
        return app["scaleAndConcurrency"]["alwaysReady"]

    assert always_ready("dev") == []
    assert always_ready("prod") == [{"name": "http", "instanceCount": 1}]


def test_site_is_created_only_on_request(predictions: Predict) -> None:
    base, parameters = DEPLOYMENTS["site"]
    assert len(predictions(base, **parameters).of("Microsoft.Web/staticSites")) == 1
    assert predictions("prod").of("Microsoft.Web/staticSites") == []


def test_role_assignments_have_the_same_names_at_every_deployment(predictions: Predict) -> None:
    """Azure refuses a second assignment of the same role with another name."""

    def names(**parameters: object) -> set[str]:
        predicted = predictions("dev", **parameters)
        kinds = ("Microsoft.Authorization/roleAssignments", f"{properties.COSMOS}/sqlRoleAssignments")
        return {each["name"] for kind in kinds for each in predicted.of(kind)}

    assert names() == names(instanceMemoryMB=4096)
    assert not names() & names(environmentName="other")


def test_operator_may_only_set_secrets(predictions: Predict) -> None:
    predicted = predictions("dev", operatorPrincipalId=OPERATOR)
    given = predicted.of("Microsoft.Authorization/roleAssignments")
    mine = [each for each in given if each["properties"]["principalId"] == OPERATOR]
    assert len(mine) == 1
    assert "/vaults/" in mine[0]["id"]
    assert mine[0]["properties"]["roleDefinitionId"].endswith("b86a8fe4-44ce-4948-aee5-eccb2c155cd7")


def test_alerts_have_an_action_if_an_address_is_given(predictions: Predict) -> None:
    predicted = predictions("prod", alertEmail="ops@example.com")
    rules = predicted.of("Microsoft.Insights/scheduledQueryRules")
    assert {rule["name"].rsplit("-", 1)[-1] for rule in rules} == {"failures", "slow", "unavailable", "poison", "money"}
    for rule in rules:
        assert rule["properties"]["actions"]["actionGroups"], rule["name"]
    metric = predicted.one("Microsoft.Insights/metricAlerts")
    assert metric["properties"]["actions"]
    assert metric["properties"]["criteria"]["allOf"][0]["dimensions"][0]["values"] == ["429"]


def test_vault_alone_is_the_same_as_with_all_resources(predictions: Predict) -> None:
    """infra/deploy.sh sets the secrets before it deploys the settings that refer to them."""
    first, complete = (
        predictions("dev", vaultOnly=True, operatorPrincipalId=OPERATOR),
        predictions("dev", operatorPrincipalId=OPERATOR),
    )
    kinds = {each["type"] for each in first.resources}
    assert "Microsoft.KeyVault/vaults" in kinds
    assert not {
        kind for kind in kinds if kind.startswith(("Microsoft.Web/", "Microsoft.Storage/", "Microsoft.DocumentDB/"))
    }
    known = {each["id"]: each for each in complete.resources}
    for each in first.resources:
        assert known[each["id"]] == each
    roles = {
        each["properties"]["roleDefinitionId"][-40:] for each in first.of("Microsoft.Authorization/roleAssignments")
    }
    assert len(roles) == 3, "of the operator, of the app, and for metrics"


@pytest.mark.parametrize(
    "address", ["https://app.example.com", "https://app.example.com/", "https://app.example.com/api/auth"]
)
def test_front_end_may_read_images(address: str, predictions: Predict) -> None:
    """An origin has neither a path nor a slash at its end: a browser compares it exactly."""
    predicted = predictions("dev", nextAuthUrl=address, allowedOrigins=["https://www.example.com"])
    account = predicted.one(properties.STORAGE, "stpics")["name"]
    (rule,) = predicted.one(f"{properties.STORAGE}/blobServices", account)["properties"]["cors"]["corsRules"]
    assert sorted(rule["allowedOrigins"]) == ["https://app.example.com", "https://www.example.com"]
    assert rule["allowedMethods"] == ["GET", "HEAD"]
    assert (
        predictions("dev").one(f"{properties.STORAGE}/blobServices", account)["properties"]["cors"]["corsRules"] == []
    )


def test_storage_allows_the_request_headers_of_the_api(predictions: Predict) -> None:
    """A tracing library adds its headers to both. Headers that only the API reads are excepted."""
    predicted = predictions("dev", nextAuthUrl="https://app.example.com")
    account = predicted.one(properties.STORAGE, "stpics")["name"]
    (rule,) = predicted.one(f"{properties.STORAGE}/blobServices", account)["properties"]["cors"]["corsRules"]
    allowed = {name.strip().lower() for name in ALLOWED_HEADERS.split(",")} - {
        "content-type",
        "idempotency-key",
        "prefer",
    }
    assert allowed == set(rule["allowedHeaders"]) - {"x-ms-*"}


def test_site_may_read_images(predictions: Predict) -> None:
    """Azure chooses the site's host name: the prediction has a reference to it."""
    base, parameters = DEPLOYMENTS["site"]
    predicted = predictions(base, **parameters)
    account = predicted.one(properties.STORAGE, "stpics")["name"]
    rules = predicted.one(f"{properties.STORAGE}/blobServices", account)["properties"]["cors"]["corsRules"]
    assert re.search(r"https://\{0\}', reference\('[^']*/staticSites/swa-prod-\w+'.*defaultHostname", rules)
    assert "'https://app.example.com'" in rules


def test_local_emulator_has_the_same_cors_rule(predictions: Predict) -> None:
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


def test_restored_account_replaces_the_environments_account(predictions: Predict) -> None:
    """The settings name it and the app is assigned its role: a restored account has no role assignments."""
    before, after = predictions("dev"), predictions("dev", cosmosAccountName="cosmos-restored")
    assert after.of(properties.COSMOS) == [], "the account exists and cannot be changed"
    containers = f"{properties.COSMOS}/sqlDatabases/containers"
    assert len(after.of(containers)) == len(before.of(containers))
    assert all(each["name"].startswith("cosmos-restored/catafract/") for each in after.of(containers))
    for name in ("AZURE_COSMOS_ENDPOINT", "COSMOS__accountEndpoint"):
        assert after.settings[name] == "https://cosmos-restored.documents.azure.com:443/"
    (old,), (new,) = (each.of(f"{properties.COSMOS}/sqlRoleAssignments") for each in (before, after))
    assert old["name"] != new["name"]
    assert new["properties"]["scope"].endswith("/databaseAccounts/cosmos-restored/dbs/catafract")


@pytest.mark.parametrize("seconds", ["", "25"])
def test_response_budget_has_the_default_unless_one_is_given(seconds: str, predictions: Predict) -> None:
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
    "unauthenticated logs": ("modules/monitoring.bicep", "DisableLocalAuth: true", "DisableLocalAuth: false"),
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
    "another principal": (
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
    "an unknown setting": (
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
    "a container that can be listed": ("modules/image-storage.bicep", "? 'Blob'", "? 'Container'"),
    "public inputs": (
        "modules/image-storage.bicep",
        "name: 'catafract-private'\n      properties: { publicAccess: 'None' }",
        "name: 'catafract-private'\n      properties: { publicAccess: 'Blob' }",
    ),
    "inputs that do not expire": (
        "modules/image-storage.bicep",
        "enabled: true\n            type: 'Lifecycle'",
        "enabled: false\n            type: 'Lifecycle'",
    ),
    "renditions that do not expire": (
        "modules/image-storage.bicep",
        "name: 'renditions'\n            enabled: true",
        "name: 'renditions'\n            enabled: false",
    ),
    "all images expire": (
        "modules/image-storage.bicep",
        "blobIndexMatch: [{ name: 'kind', op: '==', value: 'upload' }]",
        "blobIndexMatch: [{ name: 'kind', op: '==', value: 'image' }]",
    ),
    "no tracking of access times": ("modules/image-storage.bicep", "enable: true\n", "enable: false\n"),
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
def test_change_that_breaks_a_property_is_detected(name: str, changed: Predict) -> None:
    private = {"imageAccess": "private"} if name == "images public while private" else {}
    predicted = changed(*MUTATIONS[name], environmentName="a-very-long-name", **private)
    broken = []
    for check in properties.PROPERTIES:
        try:
            check(predicted)
        except (AssertionError, SettingsError):
            broken.append(check.__name__)
    assert broken, "no property has failed"
