"""`infra/deploy.sh`: its steps, its handling of secrets, and errors of one line."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped] # its stubs are another package, for one test

from tests.infra.az_calls import calls_in, documented, recommended
from tests.infra.rig import (
    FUNCTIONS,
    PAGE_TOKEN,
    PROVIDERS,
    SUBSCRIPTION,
    TOKEN,
    Open,
    Rule,
    Run,
    WithoutModel,
    answers,
    deploy,
    deployment,
)
from tests.support.paths import ROOT

GEMINI, NEXTAUTH, COOKIE = (
    "AIza-a-secret-key",
    "a secret of the front end, with 'quotes' and $signs",
    "next-auth.session-token=hush",
)
SECRETS = {"GEMINI_API_KEY": GEMINI, "NEXTAUTH_SECRET": NEXTAUTH}
SCM = "An error occured during deployment. Status Code:"
"""az's message for an error of the publishing site, with its spelling."""


def assert_no_secret_leaked(run: Run, folder: Path) -> None:
    for secret in (GEMINI, NEXTAUTH, COOKIE, PAGE_TOKEN):
        assert secret not in run.out + run.err
        for call in run.calls:
            assert not any(secret in argument for argument in call["arguments"])
    for call in run.calls:
        assert not {"GEMINI_API_KEY", "NEXTAUTH_SECRET", "SMOKE_COOKIE"} & set(call["environment"])
    assert not list((folder / "tmp").iterdir()), "a temporary file was left"


STEPS = {
    "token": ["account", "get-access-token"],
    "group": ["group", "create"],
    "recover": ["keyvault", "recover"],
    "set": ["keyvault", "secret", "set"],
    "refresh": ["rest", "--method", "post"],
    "references": ["rest", "--method", "get"],
    "publish": ["functionapp", "deployment"],
    "restart": ["functionapp", "restart"],
    "page": ["swa", "deploy"],
    "link": ["staticwebapp", "backends", "link"],
    "start": ["functionapp", "start"],
}


def steps(run: Run) -> list[str]:
    """Return the steps of a run, in order."""
    found = []
    for call in run.calls:
        arguments = call["arguments"]
        if arguments[:3] == ["deployment", "group", "create"]:
            found.append("vault" if "vaultOnly=true" in arguments else "everything")
        found += [name for name, words in STEPS.items() if arguments[: len(words)] == words]
    return found


def test_one_command_creates_everything(tmp_path: Path) -> None:
    with deployment() as url:
        run = deploy(tmp_path, ["dev", "--yes"], answers(url, group=False), **SECRETS)
    assert run.code == 0, run.err
    assert steps(run) == [
        "token",
        "group",
        "vault",
        "set",
        "set",
        "everything",
        "refresh",
        "references",
        "start",
        "publish",
        "restart",
    ]
    stored = {call["arguments"][6]: call["stdin"] for call in run.called("keyvault", "secret", "set")}
    assert stored == {"GEMINI-API-KEY": GEMINI, "NEXTAUTH-SECRET": NEXTAUTH}
    assert run.called("functionapp", "restart"), "a running instance has read the old secrets"
    assert f"the API:      {url}/api/image" in run.out
    assert "a call without a session is refused" in run.out, "the smoke test ran"
    assert_no_secret_leaked(run, tmp_path)


def test_second_run_is_an_update_without_secrets(tmp_path: Path) -> None:
    with deployment() as url:
        rules = answers(url, secrets="GEMINI-API-KEY\nNEXTAUTH-SECRET\n")
        run = deploy(tmp_path, ["dev", "--yes"], rules)
    assert run.code == 0, run.err
    assert not run.called("group", "create")
    assert not run.called("keyvault", "secret", "set")
    assert not run.called("functionapp", "restart")
    assert run.called("rest", "--method", "post"), "the references are checked in any case"
    assert run.called("functionapp", "deployment", "source", "config-zip")


@pytest.mark.parametrize(
    ("environment", "given", "kept"),
    [
        ("dev", {}, {"NEXTAUTH_URL": "https://app.example.com", "ALERT_EMAIL": "ops@example.com"}),
        ("dev", {"NEXTAUTH_URL": ""}, {"NEXTAUTH_URL": "https://app.example.com", "ALERT_EMAIL": "ops@example.com"}),
        (
            "dev",
            {"NEXTAUTH_URL": "https://new.example.com"},
            {"NEXTAUTH_URL": "https://new.example.com", "ALERT_EMAIL": "ops@example.com"},
        ),
        ("another one in the same group", {}, {"NEXTAUTH_URL": "", "ALERT_EMAIL": ""}),
    ],
)
def test_update_keeps_the_front_end_parameters_of_the_last_deployment(
    environment: str, given: dict[str, str], kept: dict[str, str], tmp_path: Path
) -> None:
    """For example, a command that sets a new Gemini key names no other parameter."""
    last = {"environmentName": environment, "nextAuthUrl": "https://app.example.com", "alertEmail": "ops@example.com"}
    shown: Rule = [
        ["deployment", "group", "show"],
        json.dumps({name: {"value": value} for name, value in last.items()}),
    ]
    with deployment() as url:
        rules = answers(url, shown, secrets="GEMINI-API-KEY\nNEXTAUTH-SECRET\n")
        run = deploy(tmp_path, ["--yes"], rules, GEMINI_API_KEY=GEMINI, **given)
    assert run.code == 0, run.err
    for words in ("what-if", "create"):
        for call in run.called("deployment", "group", words):
            assert call["kept"] == kept


def test_unreadable_last_deployment_is_an_error(tmp_path: Path) -> None:
    refused: Rule = [["deployment", "group", "show"], {"error": "(AuthorizationFailed) no"}]
    run = deploy(tmp_path, ["--yes"], answers("http://127.0.0.1:1", refused), **SECRETS)
    assert (run.code, len(run.err.splitlines())) == (1, 1)
    assert not run.called("deployment", "group", "create")


def test_given_secrets_replace_those_in_the_vault(tmp_path: Path) -> None:
    with deployment() as url:
        rules = answers(url, secrets="GEMINI-API-KEY\nNEXTAUTH-SECRET\n")
        run = deploy(tmp_path, ["--yes"], rules, NEXTAUTH_SECRET=NEXTAUTH, NEXTAUTH_SECRET_PREVIOUS=GEMINI)
    assert run.code == 0, run.err
    stored = {call["arguments"][6]: call["stdin"] for call in run.called("keyvault", "secret", "set")}
    assert stored == {"NEXTAUTH-SECRET": NEXTAUTH, "NEXTAUTH-SECRET-PREVIOUS": GEMINI}
    assert_no_secret_leaked(run, tmp_path)


@pytest.mark.parametrize("group", [True, False])
def test_dry_run_changes_nothing(tmp_path: Path, *, group: bool) -> None:
    run = deploy(tmp_path, ["prod", "--dry-run"], answers("http://127.0.0.1:1", group=group), **SECRETS)
    assert run.code == 0, run.err
    reading = {"show", "what-if", "exists", "build", "list-flexconsumption-locations", "get-access-token"}
    for call in run.calls:
        assert reading & set(call["arguments"][:3]), call["arguments"]
    assert "Microsoft.Web/sites" in run.out
    order = ["the vault", "its secrets", "everything else", "references", "the code", "the checks"]
    assert re.search(".*".join(order), run.out)
    assert_no_secret_leaked(run, tmp_path)


def test_operator_may_set_secrets(tmp_path: Path) -> None:
    with deployment() as url:
        run = deploy(tmp_path, ["--yes"], answers(url), **SECRETS)
    call, _ = run.called("deployment", "group", "create")
    assert {"OPERATOR_PRINCIPAL_ID", "OPERATOR_PRINCIPAL_TYPE", "ENVIRONMENT_NAME"} <= set(call["environment"])


def test_pipeline_is_identified_by_its_token_without_reading_the_directory(tmp_path: Path) -> None:
    rules: list[Rule] = [[["account", "show", "--query", "user.type"], "servicePrincipal\n"]]
    with deployment() as url:
        run = deploy(tmp_path, ["--yes"], answers(url, *rules), **SECRETS)
    assert run.code == 0, run.err
    assert not run.called("ad")
    call, _ = run.called("deployment", "group", "create")
    assert {"OPERATOR_PRINCIPAL_ID", "OPERATOR_PRINCIPAL_TYPE"} <= set(call["environment"])
    assert TOKEN not in run.out + run.err
    assert not any(TOKEN in argument for call in run.calls for argument in call["arguments"])


def test_setting_a_secret_waits_for_the_role_assignment(tmp_path: Path) -> None:
    forbidden: Rule = [["keyvault", "secret", "set"], {"error": "(Forbidden) Caller is not authorized", "times": 2}]
    with deployment() as url:
        run = deploy(tmp_path, ["--yes"], answers(url, forbidden), **SECRETS)
    assert run.code == 0, run.err
    assert len(run.called("keyvault", "secret", "set")) == 4
    assert_no_secret_leaked(run, tmp_path)


def test_vault_that_was_deleted_with_its_group_is_recovered(tmp_path: Path) -> None:
    def vault(name: str, group: str, environment: str) -> str:
        return f"{name}\t/subscriptions/x/{group}/providers/Microsoft.KeyVault/vaults/{name}\t{environment}\n"

    own = vault("kv-dev-x", "resourcegroups/RG-image-api-dev", "dev")
    others = vault("kv-a", "resourceGroups/rg-image-api-dev", "other") + vault(
        "kv-b", "resourceGroups/rg-image-api-dev2", "dev"
    )
    deleted: Rule = [["keyvault", "list-deleted"], others + own + vault("kv-c", "resourceGroups/elsewhere", "None")]
    with deployment() as url:
        run = deploy(tmp_path, ["--yes"], answers(url, deleted), **SECRETS)
    assert run.code == 0, run.err
    assert [call["arguments"][3] for call in run.called("keyvault", "recover")] == ["kv-dev-x"]
    assert steps(run).index("recover") < steps(run).index("vault")


def test_missing_provider_is_registered(tmp_path: Path) -> None:
    missing: Rule = [["provider", "show", "--namespace", "Microsoft.DocumentDB"], "NotRegistered\n"]
    with deployment() as url:
        run = deploy(tmp_path, ["--yes"], answers(url, missing), **SECRETS)
    assert [call["arguments"][3] for call in run.called("provider", "register")] == ["Microsoft.DocumentDB"]
    assert len(run.called("provider", "show")) == len(PROVIDERS)


FAULTS: dict[str, tuple[list[str], list[Rule], dict[str, str], str]] = {
    "no login": (
        [],
        [[["account", "show", "--output", "none"], {"error": "Please run az login"}]],
        SECRETS,
        "az login",
    ),
    "another subscription": (["--subscription", "other"], [], SECRETS, SUBSCRIPTION),
    "a name too long": (["--name", "a-name-much-too-long"], [], SECRETS, "2 to 16 lower-case letters"),
    "a name with capitals": (["--name", "Prod"], [], SECRETS, "2 to 16 lower-case letters"),
    "a name that is taken": (
        [],
        [[["deployment", "group", "create"], {"error": "StorageAccountAlreadyTaken: The name is already taken."}]],
        SECRETS,
        "already taken",
    ),
    "no such environment": (["staging"], [], SECRETS, "infra/staging.bicepparam"),
    "a missing secret": ([], [], {"GEMINI_API_KEY": GEMINI}, "NEXTAUTH_SECRET is not set"),
    "a region without Flex": (
        ["--location", "westeurope"],
        [[["group", "show"], "moon\n"]],
        SECRETS,
        "not offered in moon",
    ),
    "a token without its owner": (
        [],
        [
            [["account", "show", "--query", "user.type"], "servicePrincipal\n"],
            [["account", "get-access-token"], "a.e30.c\n"],
        ],
        SECRETS,
        "set OPERATOR_PRINCIPAL_ID",
    ),
    "a refused secret": (
        [],
        [[["keyvault", "secret", "set"], {"error": "(BadParameter) too long", "times": 9}]],
        SECRETS,
        "GEMINI-API-KEY could not be set",
    ),
    "a broken upload": (
        [],
        [[["functionapp", "deployment"], {"error": "Zip deployment failed"}]],
        SECRETS,
        "Zip deployment failed",
    ),
    "a publishing site that does not start": (
        [],
        [[["functionapp", "deployment"], {"error": f"{SCM} 503, Details: none", "times": 99}]],
        SECRETS,
        "within five minutes",
    ),
    "secrets that cannot be listed": (
        [],
        [[["keyvault", "secret", "list"], {"error": "(BadRequest) no", "times": 99}]],
        SECRETS,
        "could not be listed: ERROR: (BadRequest) no",
    ),
    "a firewall of the vault": (
        [],
        [
            [
                ["keyvault", "secret", "list"],
                {
                    "error": "(Forbidden) Client address is not authorized\nCode: Forbidden\n"
                    "Inner error: ForbiddenByFirewall"
                },
            ]
        ],
        SECRETS,
        "(Forbidden) Client address is not authorized",
    ),
    "references that do not resolve": (
        [],
        [[["rest", "--method", "get"], "GEMINI_API_KEY\tResolved\nNEXTAUTH_SECRET\tAccessToKeyVaultDenied\n"]],
        SECRETS,
        "do not resolve: NEXTAUTH_SECRET is AccessToKeyVaultDenied",
    ),
    "no references": ([], [[["rest", "--method", "get"], ""]], SECRETS, "the app has no references"),
    "no token for the vault": (
        [],
        [
            [
                ["account", "get-access-token"],
                {"error": "AADSTS700024: Client assertion is not within its valid time range."},
            ]
        ],
        SECRETS,
        "AADSTS700024",
    ),
    "an unknown subscription": (
        [],
        [[["provider", "show"], {"error": "(InvalidSubscriptionId) no such subscription"}]],
        SECRETS,
        "InvalidSubscriptionId",
    ),
    "an unknown option": (["--force"], [], SECRETS, "unknown option --force"),
    "an option without its value": (["--name"], [], SECRETS, "--name needs a value"),
    "two environments": (["dev", "prod"], [], SECRETS, "one environment at a time"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_error_is_one_line(name: str, tmp_path: Path) -> None:
    arguments, rules, secrets, words = FAULTS[name]
    with deployment() as url:
        run = deploy(tmp_path, ["--yes", *arguments], answers(url, *rules), **secrets)
    assert run.code == 1
    assert len(run.err.splitlines()) == 1, run.err
    assert run.err.startswith("deploy: ")
    assert words in run.err
    assert_no_secret_leaked(run, tmp_path)


def test_missing_secret_is_an_error_before_anything_is_created(tmp_path: Path) -> None:
    run = deploy(tmp_path, ["--yes"], answers("http://127.0.0.1:1", group=False), GEMINI_API_KEY=GEMINI)
    assert (run.code, len(run.err.splitlines())) == (1, 1)
    assert "NEXTAUTH_SECRET is not set" in run.err
    assert not run.called("group", "create")


def test_without_a_terminal_nothing_is_deployed_unless_confirmed_by_an_option(tmp_path: Path) -> None:
    run = deploy(tmp_path, [], answers("http://127.0.0.1:1"), **SECRETS)
    assert run.code == 1
    assert "add --yes" in run.err
    assert not run.called("deployment", "group", "create")


def test_failed_smoke_test_fails_the_deployment(tmp_path: Path) -> None:
    with deployment(Open) as url:
        run = deploy(tmp_path, ["--yes"], answers(url), **SECRETS, SMOKE_COOKIE=COOKIE)
    assert run.code == 1
    assert "the smoke test failed" in run.err
    assert "anybody can use this API" in run.err
    assert_no_secret_leaked(run, tmp_path)


def test_outage_of_the_model_is_reported_and_does_not_fail_the_deployment(tmp_path: Path) -> None:
    with deployment(WithoutModel) as url:
        run = deploy(tmp_path, ["--yes"], answers(url), **SECRETS)
    assert run.code == 0, run.err
    assert "model is unknown" in run.out


def test_destroy_deletes_only_the_group(tmp_path: Path) -> None:
    run = deploy(tmp_path, ["destroy", "dev", "--yes"], answers("http://127.0.0.1:1"))
    assert run.code == 0, run.err
    assert [call["arguments"][:4] for call in run.called("group", "delete")] == [
        ["group", "delete", "--name", "rg-image-api-dev"]
    ]
    gone = deploy(tmp_path, ["destroy", "dev", "--yes"], answers("http://127.0.0.1:1", group=False))
    assert (gone.code, gone.err) == (1, "deploy: there is no resource group rg-image-api-dev\n")


def test_help_lists_the_options(tmp_path: Path) -> None:
    run = deploy(tmp_path, ["--help"], [])
    assert run.code == 0
    assert "--dry-run" in run.out
    assert not run.calls


SITE_STEPS = ["publish", "restart", "page", "link"]


def test_site_is_linked_after_code_and_page_are_published(tmp_path: Path) -> None:
    with deployment() as url, deployment() as site:
        run = deploy(tmp_path, ["--yes"], answers(url, group=False, site=site), **SECRETS)
    assert run.code == 0, run.err
    assert steps(run)[-4:] == SITE_STEPS
    assert re.findall("waiting for (.*)/api/health", run.out) == [url, site]
    (page,) = run.called("swa", "deploy")
    assert page["page"] == ["index.html", "staticwebapp.config.json"]
    assert "SWA_CLI_DEPLOYMENT_TOKEN" in page["environment"]
    (link,) = run.called("staticwebapp", "backends", "link")
    assert {FUNCTIONS, "westeurope", "swa-dev-x"} <= set(link["arguments"])
    assert f"the API:      {site}/api/image" in run.out
    assert_no_secret_leaked(run, tmp_path)


def test_linked_app_is_checked_through_its_site_and_keeps_its_page(tmp_path: Path) -> None:
    """A linked app refuses az's check of the host after publishing; this is not an error."""
    rules: list[Rule] = [
        [["staticwebapp", "backends", "show"], FUNCTIONS.upper() + "\n"],
        [["staticwebapp", "environment", "list"], "Ready\n"],
        [
            ["functionapp", "deployment"],
            {"error": "Deployment was successful but the app appears to be unhealthy. Please check"},
        ],
    ]
    with deployment() as site:
        run = deploy(tmp_path, ["--yes"], answers("http://127.0.0.1:1", *rules, site=site), **SECRETS)
    assert run.code == 0, run.err
    assert steps(run)[-2:] == ["publish", "restart"]
    assert re.findall("waiting for (.*)/api/health", run.out) == [site]


def test_site_without_its_page_is_not_linked(tmp_path: Path) -> None:
    waiting: Rule = [["staticwebapp", "environment", "list"], "WaitingForDeployment\n"]
    with deployment() as url:
        run = deploy(tmp_path, ["--yes"], answers(url, waiting, site="http://127.0.0.1:1"), **SECRETS)
    assert (run.code, len(run.err.splitlines())) == (1, 1)
    assert "the page of swa-dev-x is not ready" in run.err
    assert not run.called("staticwebapp", "backends", "link")


@pytest.mark.parametrize(
    "error",
    [
        "{SCM} 503, Details: ",
        "{SCM} 502, ",
        "There may be an ongoing deployment. Please track",
        "Max retries exceeded with url",
    ],
)
def test_publishing_is_repeated_until_the_publishing_site_is_ready(error: str, tmp_path: Path) -> None:
    busy: Rule = [["functionapp", "deployment"], {"error": error.replace("{SCM}", SCM), "times": 3}]
    with deployment() as url:
        run = deploy(tmp_path, ["--yes"], answers(url, busy), **SECRETS)
    assert run.code == 0, run.err
    assert steps(run).count("publish") == 4


def test_references_are_refreshed_until_they_resolve(tmp_path: Path) -> None:
    waiting: Rule = [["rest", "--method", "get"], "GEMINI_API_KEY\tInitialized\nNEXTAUTH_SECRET\tSecretNotFound\n", 2]
    with deployment() as url:
        run = deploy(tmp_path, ["--yes"], answers(url, waiting), **SECRETS)
    assert run.code == 0, run.err
    assert steps(run).count("refresh") == 3
    (refresh_url,) = {call["arguments"][4] for call in run.called("rest", "--method", "post")}
    assert refresh_url == f"{FUNCTIONS}/config/configreferences/appsettings/refresh?api-version=2022-03-01"


def test_deleted_secret_is_recovered_before_it_is_set(tmp_path: Path) -> None:
    deleted: Rule = [
        ["keyvault", "secret", "set"],
        {"error": "(Conflict) Secret is currently in a deleted but recoverable state"},
    ]
    with deployment() as url:
        run = deploy(tmp_path, ["--yes"], answers(url, deleted), **SECRETS)
    assert run.code == 0, run.err
    assert [call["arguments"][6] for call in run.called("keyvault", "secret", "recover")] == ["GEMINI-API-KEY"]
    assert len(run.called("keyvault", "secret", "set")) == 3


def test_listing_secrets_waits_for_the_role_assignment(tmp_path: Path) -> None:
    forbidden: Rule = [["keyvault", "secret", "list"], {"error": "(Forbidden) Caller is not authorized", "times": 2}]
    with deployment() as url:
        run = deploy(tmp_path, ["--yes"], answers(url, forbidden, secrets="GEMINI-API-KEY\nNEXTAUTH-SECRET\n"))
    assert run.code == 0, run.err
    assert len(run.called("keyvault", "secret", "list")) == 3


@pytest.mark.parametrize(
    ("given", "stored", "wanted"),
    [({}, "", "false"), ({"NEXTAUTH_SECRET_PREVIOUS": GEMINI}, "", "true"), ({}, "NEXTAUTH-SECRET-PREVIOUS\n", "true")],
)
def test_previous_secret_is_referenced_if_the_vault_has_one(
    given: dict[str, str], stored: str, wanted: str, tmp_path: Path
) -> None:
    with deployment() as url:
        rules = answers(url, secrets=f"GEMINI-API-KEY\nNEXTAUTH-SECRET\n{stored}")
        run = deploy(tmp_path, ["--yes"], rules, **given)
    assert run.code == 0, run.err
    _, everything = run.called("deployment", "group", "create")
    assert f"previousSecret={wanted}" in everything["arguments"]


def test_login_for_the_group_only_gives_warnings(tmp_path: Path) -> None:
    refused = {
        "error": "(AuthorizationFailed) The client does not have authorization over scope /subscriptions/x",
        "times": 9,
    }
    calls = (["provider", "show"], ["functionapp", "list-flexconsumption-locations"], ["keyvault", "list-deleted"])
    rules: list[Rule] = [[words, dict(refused)] for words in calls]
    with deployment() as url:
        run = deploy(tmp_path, ["--yes"], answers(url, *rules), **SECRETS)
    assert run.code == 0, run.err
    warnings = run.err.splitlines()
    assert len(warnings) == len(calls)
    assert all(line.startswith("deploy: warning: this login may not call az") for line in warnings)
    assert steps(run)[-1] == "restart"


def test_static_web_apps_cli_has_the_version_of_the_local_stack() -> None:
    package = json.loads((ROOT / "local/swa/package.json").read_text(encoding="utf-8"))
    version = package["dependencies"]["@azure/static-web-apps-cli"]
    assert f"@azure/static-web-apps-cli@{version} " in (ROOT / "infra/deploy.sh").read_text(encoding="utf-8")


def test_package_has_only_the_app_and_starts(tmp_path: Path) -> None:
    """The unpacked app has its functions without the rest of the repository. Packages are reproducible."""
    for target in ("app.zip", "again.zip"):
        subprocess.run(
            [sys.executable, str(ROOT / "infra/package.py"), str(tmp_path / target)], check=True, capture_output=True
        )
    assert (tmp_path / "app.zip").read_bytes() == (tmp_path / "again.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "app.zip") as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "app")
    assert {"function_app.py", "host.json", "requirements.txt"} <= set(names)
    assert not [name for name in names if name.startswith(("local", "tests", "infra", ".")) or name.endswith(".pyc")]
    script = (
        "import json, function_app; "
        "print(json.dumps([each.get_function_name() for each in function_app.app.get_functions()]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path / "app",
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"api", "recovery", "resume", "ledger", "poison"} <= set(json.loads(done.stdout))


SHELL = [
    ("az login", [["login"]]),
    ("cd x && az group show --name a | jq .  # a word", [["group", "show", "--name", "a"]]),
    ("az a \\\n  --b 'c | d; e' > file", [["a", "--b", "c | d; e"]]),
    (
        "ID=$(az ad sp show --id x) az role list --assignee $ID",
        [["ad", "sp", "show", "--id", "x"], ["role", "list", "--assignee", "$ID"]],
    ),
    (
        "az x --q '[?deleted].name' |\n while read -r n; do\n az y --name \"$n\"\n done",
        [["x", "--q", "[?deleted].name"], ["y", "--name", "$n"]],
    ),
    ("lazy az", []),
]


@pytest.mark.parametrize(("shell", "calls"), SHELL)
def test_az_calls_of_a_shell_script_are_found(shell: str, calls: list[list[str]]) -> None:
    assert list(calls_in(shell)) == calls


def test_az_calls_of_documentation_and_doctor_are_found() -> None:
    """`make check-az` checks them with the Azure CLI."""
    assert ["cosmosdb", "restore"] in [call[:2] for call in documented()]
    assert ["role", "assignment", "create"] in [call[:3] for call in recommended()]


def test_pipeline_gets_the_vaults_token_after_its_login_and_passes_every_secret() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text(encoding="utf-8"))
    workflow_steps = workflow["jobs"]["deploy"]["steps"]
    (login,) = [number for number, step in enumerate(workflow_steps) if step.get("uses", "").startswith("azure/login")]
    assert "get-access-token --resource https://vault.azure.net" in workflow_steps[login + 1]["run"]
    given = workflow_steps[-1]["env"]
    for name in ("GEMINI_API_KEY", "NEXTAUTH_SECRET", "NEXTAUTH_SECRET_PREVIOUS", "SMOKE_COOKIE"):
        assert given[name] == f"${{{{ secrets.{name} }}}}"
