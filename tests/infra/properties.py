"""The properties of every deployment: functions that fail for a prediction that does not have the property."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

from image_core.settings import Settings
from image_core.storage.images import UPLOAD_TAGS
from image_core.storage.naming import INPUTS, RENDITIONS, TURNS
from tests.infra.predicted import Prediction
from tests.support.paths import ROOT

STORAGE = "Microsoft.Storage/storageAccounts"
COSMOS = "Microsoft.DocumentDB/databaseAccounts"

ROLES = {
    # role: (its name, a pattern of the end of the scopes for which it may be assigned)
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": (
        "Storage Blob Data Owner",
        r"storageAccounts/(sthost\w+|stpics\w+/blobServices/default/containers/catafract)",
    ),
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": ("Storage Queue Data Contributor", r"storageAccounts/sthost\w+"),
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": ("Storage Table Data Contributor", r"storageAccounts/sthost\w+"),
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": (
        "Storage Blob Data Contributor",
        r"storageAccounts/stpics\w+/blobServices/default/containers/catafract-private",
    ),
    "3913510d-42f4-4e42-8a64-420c390055eb": (
        "Monitoring Metrics Publisher",
        r"Microsoft\.Insights/components/appi-[\w-]+",
    ),
    "4633458b-17de-408a-b874-0445c86b69e6": ("Key Vault Secrets User", r"Microsoft\.KeyVault/vaults/kv-[\w-]+"),
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": ("Key Vault Secrets Officer", r"Microsoft\.KeyVault/vaults/kv-[\w-]+"),
}
OPERATORS_ROLE = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
EXPECTED_ASSIGNMENTS = 7
"""One each for blobs, queues and tables of the host's storage, the two containers, metrics and secrets."""

PLATFORM = {
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__tableServiceUri",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "COSMOS__accountEndpoint",
    "COSMOS__credential",
    "COSMOS__clientId",
    "AZURE_CLIENT_ID",
}
"""Settings that the platform, its extensions and its SDKs define and that Flex Consumption accepts."""


def accounts_take_no_keys(predicted: Prediction) -> None:
    for account in predicted.of(STORAGE):
        assert account["properties"]["allowSharedKeyAccess"] is False, account["name"]
        assert account["properties"]["minimumTlsVersion"] == "TLS1_2"
        assert account["properties"]["supportsHttpsTrafficOnly"] is True
    database = predicted.one(COSMOS)["properties"]
    assert database["disableLocalAuth"] is True
    assert database["disableKeyBasedMetadataWriteAccess"] is True
    assert predicted.one("Microsoft.Insights/components")["properties"]["DisableLocalAuth"] is True
    assert (
        predicted.one("Microsoft.OperationalInsights/workspaces")["properties"]["features"]["disableLocalAuth"] is True
    )
    for policy in ("scm", "ftp"):
        found = predicted.one("Microsoft.Web/sites/basicPublishingCredentialsPolicies", policy)
        assert found["properties"]["allow"] is False
    assert predicted.one("Microsoft.Web/sites")["properties"]["httpsOnly"] is True


def roles_are_minimal(predicted: Prediction) -> None:
    given = predicted.of("Microsoft.Authorization/roleAssignments")
    for assignment in given:
        scope, role = assignment["id"].split("/providers/Microsoft.Authorization/")[0], _role(assignment)
        assert role in ROLES, f"an unnecessary role: {role}"
        name, scopes = ROLES[role]
        assert re.search(scopes + "$", scope), f"{name} is given for {scope}"
    assigned = [each for each in given if _role(each) != OPERATORS_ROLE]
    assert len(assigned) == EXPECTED_ASSIGNMENTS
    database = predicted.one(f"{COSMOS}/sqlRoleAssignments")["properties"]
    assert database["roleDefinitionId"].endswith("/sqlRoleDefinitions/00000000-0000-0000-0000-000000000002")
    assert database["scope"].endswith("/dbs/catafract")


def _role(assignment: object) -> str:
    definition: str = assignment["properties"]["roleDefinitionId"]  # type: ignore[index] # a resource of the prediction
    return definition.rsplit("/", 1)[-1].rstrip("')]")


def every_principal_is_the_apps_identity(predicted: Prediction) -> None:
    """But for the operator, who sets secrets and gets nothing else."""
    given = [*predicted.of("Microsoft.Authorization/roleAssignments"), *predicted.of(f"{COSMOS}/sqlRoleAssignments")]
    for assignment in given:
        principal = assignment["properties"]["principalId"]
        if OPERATORS_ROLE in assignment["properties"]["roleDefinitionId"]:
            continue
        assert re.fullmatch(
            r"\[reference\('[^']+/userAssignedIdentities/id-[\w-]+', '[\d-]+'\)\.principalId\]", principal
        )
    app = predicted.one("Microsoft.Web/sites")
    assert app["identity"]["type"] == "UserAssigned"
    assert app["properties"]["keyVaultReferenceIdentity"].endswith(predicted.one(IDENTITY)["name"])


IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"


def settings_are_known_and_have_no_credential(predicted: Prediction) -> None:
    known = {str(field.alias) for field in Settings.model_fields.values()}
    settings = predicted.settings
    unknown = set(settings) - known - PLATFORM
    assert not unknown, f"unknown settings: {unknown}"
    assert set(settings) >= PLATFORM
    secrets = {"GEMINI_API_KEY", "NEXTAUTH_SECRET", "NEXTAUTH_SECRET_PREVIOUS"} & set(settings)
    for name in secrets:
        vault = predicted.one("Microsoft.KeyVault/vaults")["name"]
        secret = name.replace("_", "-")
        assert settings[name] == f"@Microsoft.KeyVault(SecretUri=https://{vault}.vault.azure.net/secrets/{secret}/)"
    assert {"GEMINI_API_KEY", "NEXTAUTH_SECRET"} <= secrets
    assert not {name for name in settings if name.endswith("CONNECTION_STRING")} - {
        "APPLICATIONINSIGHTS_CONNECTION_STRING"
    }
    for name, value in settings.items():
        assert not re.search(r"AccountKey|SharedAccessKey|listKeys|sig=|password", value, re.IGNORECASE), name


def host_storage_has_all_endpoints(predicted: Prediction) -> None:
    account = predicted.one(STORAGE, "sthost")["name"]
    for service in ("blob", "queue", "table"):
        address = predicted.settings[f"AzureWebJobsStorage__{service}ServiceUri"]
        assert address == f"https://{account}.{service}.core.windows.net"


def settings_are_valid(predicted: Prediction) -> None:
    """Check that the application accepts the settings after the platform has resolved the secrets."""
    environment = {name: "resolved" if value.startswith("@") else value for name, value in predicted.settings.items()}
    settings = Settings.read(environment)
    assert settings.storage_account_url == f"https://{predicted.one(STORAGE, 'stpics')['name']}.blob.core.windows.net"
    assert settings.cosmos_endpoint == f"https://{predicted.one(COSMOS)['name']}.documents.azure.com:443/"
    assert settings.storage_connection_string is None
    assert settings.cosmos_connection_string is None


def images_are_as_public_as_requested(predicted: Prediction) -> None:
    public = predicted.settings["IMAGE_ACCESS"] == "public"
    account = predicted.one(STORAGE, "stpics")
    assert account["properties"]["allowBlobPublicAccess"] is public
    container = predicted.one(f"{STORAGE}/blobServices/containers", "catafract")
    assert container["properties"]["publicAccess"] == ("Blob" if public else "None")
    assert predicted.one(STORAGE, "sthost")["properties"]["allowBlobPublicAccess"] is False


def inputs_are_private_and_expire(predicted: Prediction) -> None:
    container = predicted.one(f"{STORAGE}/blobServices/containers", "catafract-private")
    assert container["properties"]["publicAccess"] == "None"
    rule, _, _ = predicted.one(f"{STORAGE}/managementPolicies")["properties"]["policy"]["rules"]
    assert rule["enabled"] is True
    assert rule["definition"]["filters"]["prefixMatch"] == [f"catafract-private/{INPUTS}", f"catafract-private/{TURNS}"]
    assert rule["definition"]["actions"] == {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": 30}}}
    service = predicted.one(f"{STORAGE}/blobServices", predicted.one(STORAGE, "stpics")["name"])
    assert service["properties"]["deleteRetentionPolicy"]["enabled"] is True


def renditions_expire(predicted: Prediction) -> None:
    _, rule, _ = predicted.one(f"{STORAGE}/managementPolicies")["properties"]["policy"]["rules"]
    assert rule["enabled"] is True
    assert rule["definition"]["filters"]["prefixMatch"] == [f"catafract-private/{RENDITIONS}"]
    assert list(rule["definition"]["actions"]["baseBlob"]["delete"]) == ["daysAfterModificationGreaterThan"]


def only_unused_uploads_expire(predicted: Prediction) -> None:
    _, _, rule = predicted.one(f"{STORAGE}/managementPolicies")["properties"]["policy"]["rules"]
    assert rule["enabled"] is True
    (tag,) = rule["definition"]["filters"]["blobIndexMatch"]
    assert {tag["name"]: tag["value"]} == UPLOAD_TAGS
    assert tag["op"] == "=="
    assert list(rule["definition"]["actions"]["baseBlob"]["delete"]) == ["daysAfterLastAccessTimeGreaterThan"]
    service = predicted.one(f"{STORAGE}/blobServices", predicted.one(STORAGE, "stpics")["name"])
    assert service["properties"]["lastAccessTimeTrackingPolicy"]["enable"] is True


def app_has_its_runtime_and_concurrency(predicted: Prediction) -> None:
    config = predicted.one("Microsoft.Web/sites")["properties"]["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": "3.13"}
    scale = config["scaleAndConcurrency"]
    assert scale["triggers"]["http"]["perInstanceConcurrency"] >= 50, "each request waits for about half a minute"
    assert config["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"
    container = config["deployment"]["storage"]["value"].rsplit("/", 1)[-1]
    assert predicted.one(f"{STORAGE}/blobServices/containers", container)["properties"]["publicAccess"] == "None"
    queues = {queue["name"].rsplit("/", 1)[-1] for queue in predicted.of(f"{STORAGE}/queueServices/queues")}
    assert queues == {"generations", "generations-poison"}
    assert predicted.one("Microsoft.Web/serverfarms")["sku"]["name"] == "FC1"
    memory_budget = int(predicted.settings["MAX_INFLIGHT_BYTES"])
    assert memory_budget <= scale["instanceMemoryMB"] * 1_000_000 * 0.35, "the host and Python need the rest"


def database_has_the_containers_and_indexes_of_the_code(predicted: Prediction) -> None:
    containers = {
        each["name"].rsplit("/", 1)[-1]: each["properties"]["resource"]
        for each in predicted.of(f"{COSMOS}/sqlDatabases/containers")
    }
    keys = {name: container["partitionKey"]["paths"] for name, container in containers.items()}
    assert keys == {"generations": ["/userId"], "usage": ["/userId"], "leases": ["/id"]}
    assert containers["usage"]["defaultTtl"] == 400 * 86400
    assert predicted.one(COSMOS)["properties"]["backupPolicy"]["type"] == "Continuous"
    for name, queries in {"generations": "CosmosGenerations", "usage": "CosmosLedger"}.items():
        queried = _queried_fields(ROOT / "image_core/storage/cosmos_documents.py", queries) - NOT_INDEXED.keys()
        policy = containers[name]["indexingPolicy"]
        indexed = {path["path"].strip("/?") for path in policy["includedPaths"]}
        assert indexed == queried, f"{name}: indexed and queried fields must be the same"
        assert policy["excludedPaths"] == [{"path": "/*"}]


NOT_INDEXED = {
    "outputImageUrl": "queried for records of the original product only, which the index of blobStem finds",
    "leaseOwner": "queried for unfinished records only, which the index of leaseExpiresAt finds",
}
"""Fields without an index by which queries filter, and the reason."""


def _queried_fields(source: Path, class_name: str) -> set[str]:
    """Return the fields that the queries of one class of `source` filter or sort by."""
    module = ast.parse(source.read_text(encoding="utf-8"))
    (tree,) = (node for node in module.body if isinstance(node, ast.ClassDef) and node.name == class_name)
    parts = {id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values}
    texts = [
        "".join(str(value.value) if isinstance(value, ast.Constant) else "{}" for value in node.values)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
    ]
    texts += [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts
    ]
    # Selected fields need no index: `SELECT … FROM c`, and the constants that list such fields.
    conditions = [re.sub(r"SELECT .*? FROM c\b", "", text) for text in texts if not re.fullmatch(r"(c\.\w+,?)+", text)]
    return set(re.findall(r"\bc\.([a-zA-Z]\w*)", " ".join(conditions)))


def names_are_valid(predicted: Prediction) -> None:
    patterns = {
        STORAGE: r"[a-z0-9]{3,24}",
        COSMOS: r"[a-z0-9][a-z0-9-]{1,42}[a-z0-9]",
        "Microsoft.KeyVault/vaults": r"[a-zA-Z](?!.*--)[a-zA-Z0-9-]{1,22}[a-zA-Z0-9]",
        "Microsoft.Web/sites": r"[a-zA-Z0-9][a-zA-Z0-9-]{0,58}[a-zA-Z0-9]",
        "Microsoft.Web/serverfarms": r"[a-zA-Z0-9-]{1,60}",
        "Microsoft.Web/staticSites": r"[a-zA-Z0-9-]{1,60}",
        "Microsoft.OperationalInsights/workspaces": r"[a-zA-Z0-9][a-zA-Z0-9-]{2,61}[a-zA-Z0-9]",
        "Microsoft.Insights/components": r".{1,260}",
        IDENTITY: r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}",
        "Microsoft.Insights/scheduledQueryRules": r"[^*#&+:<>?@%{}\\/|]{1,260}",
        "Microsoft.Insights/metricAlerts": r"[^*#&+:<>?@%{}\\/|]{1,260}",
        "Microsoft.Insights/actionGroups": r"[^:<>+/&%\\?|]{1,260}",
    }
    for resource in predicted.resources:
        if resource["type"] in patterns:
            assert re.fullmatch(patterns[resource["type"]], resource["name"]), (resource["type"], resource["name"])


def site_is_linkable_and_not_linked(predicted: Prediction) -> None:
    """infra/deploy.sh links the site in its last step: a linked function app refuses the calls that check it."""
    for site in predicted.of("Microsoft.Web/staticSites"):
        assert site["sku"]["name"] == "Standard"
    assert not predicted.of("Microsoft.Web/staticSites/linkedBackends")
    assert not predicted.of("Microsoft.Web/staticSites/builds/linkedBackends")


PROPERTIES: tuple[Callable[[Prediction], None], ...] = (
    accounts_take_no_keys,
    roles_are_minimal,
    every_principal_is_the_apps_identity,
    settings_are_known_and_have_no_credential,
    host_storage_has_all_endpoints,
    settings_are_valid,
    images_are_as_public_as_requested,
    inputs_are_private_and_expire,
    renditions_expire,
    only_unused_uploads_expire,
    app_has_its_runtime_and_concurrency,
    database_has_the_containers_and_indexes_of_the_code,
    names_are_valid,
    site_is_linkable_and_not_linked,
)
