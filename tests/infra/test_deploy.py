"""`infra/deploy.sh`: what it does, what it never does, and the one line that says what is wrong."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.infra.predicted import ROOT
from tests.infra.rig import PROVIDERS, SUBSCRIPTION, Open, Rule, Run, answers, deploy, deployment

pytestmark = pytest.mark.infra
GEMINI, NEXTAUTH, COOKIE = (
    "AIza-a-secret-key",
    "a secret of the front end, with 'quotes' and $signs",
    "next-auth.session-token=hush",
)
SECRETS = {"GEMINI_API_KEY": GEMINI, "NEXTAUTH_SECRET": NEXTAUTH}


def nothing_leaked(run: Run, folder: Path) -> None:
    for secret in (GEMINI, NEXTAUTH, COOKIE):
        assert secret not in run.out + run.err
        for call in run.calls:
            assert not any(secret in argument for argument in call["arguments"])
    for call in run.calls:
        assert not {"GEMINI_API_KEY", "NEXTAUTH_SECRET", "SMOKE_COOKIE"} & set(call["environment"])
    assert not list((folder / "tmp").iterdir()), "a temporary file was left"


def test_one_command_creates_everything(tmp_path: Path) -> None:
    with deployment() as url:
        run = deploy(tmp_path, ["dev", "--yes"], answers(url, group=False), **SECRETS)
    assert run.code == 0, run.err
    order = [" ".join(call["arguments"][:3]) for call in run.calls]
    expected = [
        "group create --name",
        "deployment group what-if",
        "deployment group create",
        "functionapp deployment source",
    ]
    assert [each for each in order if each in expected] == expected
    stored = {call["arguments"][6]: call["stdin"] for call in run.called("keyvault", "secret", "set")}
    assert stored == {"GEMINI-API-KEY": GEMINI, "NEXTAUTH-SECRET": NEXTAUTH}
    assert run.called("functionapp", "restart"), "an instance that runs has read the old secrets"
    assert f"the API:      {url}/api/image" in run.out
    assert "a call without a session is refused" in run.out, "the smoke test ran"
    nothing_leaked(run, tmp_path)


def test_running_it_again_is_an_update_that_needs_no_secret(tmp_path: Path) -> None:
    with deployment() as url:
        rules = answers(url, secrets="GEMINI-API-KEY\nNEXTAUTH-SECRET\n")
        run = deploy(tmp_path, ["dev", "--yes"], rules)
    assert run.code == 0, run.err
    assert not run.called("group", "create")
    assert not run.called("keyvault", "secret", "set")
    assert not run.called("functionapp", "restart")
    assert run.called("functionapp", "deployment", "source", "config-zip")


def test_secrets_are_rotated_by_giving_new_ones(tmp_path: Path) -> None:
    with deployment() as url:
        rules = answers(url, secrets="GEMINI-API-KEY\nNEXTAUTH-SECRET\n")
        run = deploy(tmp_path, ["--yes"], rules, NEXTAUTH_SECRET=NEXTAUTH, NEXTAUTH_SECRET_PREVIOUS=GEMINI)
    assert run.code == 0, run.err
    stored = {call["arguments"][6]: call["stdin"] for call in run.called("keyvault", "secret", "set")}
    assert stored == {"NEXTAUTH-SECRET": NEXTAUTH, "NEXTAUTH-SECRET-PREVIOUS": GEMINI}
    nothing_leaked(run, tmp_path)


@pytest.mark.parametrize("group", [True, False])
def test_a_dry_run_changes_nothing(tmp_path: Path, *, group: bool) -> None:
    run = deploy(tmp_path, ["prod", "--dry-run"], answers("http://127.0.0.1:1", group=group), **SECRETS)
    assert run.code == 0, run.err
    reading = {"show", "what-if", "exists", "build", "list-flexconsumption-locations"}
    for call in run.calls:
        assert reading & set(call["arguments"][:3]), call["arguments"]
    assert "Microsoft.Web/sites" in run.out
    nothing_leaked(run, tmp_path)


def test_the_operator_gets_the_right_to_set_secrets(tmp_path: Path) -> None:
    with deployment() as url:
        run = deploy(tmp_path, ["--yes"], answers(url), **SECRETS)
    (call,) = run.called("deployment", "group", "create")
    assert {"OPERATOR_PRINCIPAL_ID", "OPERATOR_PRINCIPAL_TYPE", "ENVIRONMENT_NAME"} <= set(call["environment"])


def test_a_right_that_has_not_arrived_yet_is_waited_for(tmp_path: Path) -> None:
    forbidden: Rule = [["keyvault", "secret", "set"], {"error": "(Forbidden) Caller is not authorized", "times": 2}]
    with deployment() as url:
        run = deploy(tmp_path, ["--yes"], answers(url, forbidden), **SECRETS)
    assert run.code == 0, run.err
    assert len(run.called("keyvault", "secret", "set")) == 4
    nothing_leaked(run, tmp_path)


def test_a_vault_that_was_deleted_with_its_group_comes_back(tmp_path: Path) -> None:
    deleted: Rule = [["keyvault", "list-deleted"], "kv-dev-x\n"]
    with deployment() as url:
        run = deploy(tmp_path, ["--yes"], answers(url, deleted), **SECRETS)
    assert run.called("keyvault", "recover") == [
        run.calls[[c["arguments"][:2] for c in run.calls].index(["keyvault", "recover"])]
    ]
    assert run.code == 0, run.err


def test_a_provider_that_is_not_registered_is(tmp_path: Path) -> None:
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
    "a region without Flex": (["--location", "moon"], [], SECRETS, "not offered in moon"),
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
    "an unknown option": (["--force"], [], SECRETS, "unknown option --force"),
    "an option without its value": (["--name"], [], SECRETS, "--name needs a value"),
    "two environments": (["dev", "prod"], [], SECRETS, "one environment at a time"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_is_one_line(name: str, tmp_path: Path) -> None:
    arguments, rules, secrets, said = FAULTS[name]
    with deployment() as url:
        run = deploy(tmp_path, ["--yes", *arguments], answers(url, *rules), **secrets)
    assert run.code == 1
    assert len(run.err.splitlines()) == 1, run.err
    assert run.err.startswith("deploy: ")
    assert said in run.err
    nothing_leaked(run, tmp_path)


def test_a_missing_secret_is_said_before_anything_is_created(tmp_path: Path) -> None:
    run = deploy(tmp_path, ["--yes"], answers("http://127.0.0.1:1", group=False), GEMINI_API_KEY=GEMINI)
    assert (run.code, len(run.err.splitlines())) == (1, 1)
    assert "NEXTAUTH_SECRET is not set" in run.err
    assert not run.called("group", "create")


def test_nobody_at_the_terminal_means_no(tmp_path: Path) -> None:
    run = deploy(tmp_path, [], answers("http://127.0.0.1:1"), **SECRETS)
    assert run.code == 1
    assert "add --yes" in run.err
    assert not run.called("deployment", "group", "create")


def test_a_failed_smoke_test_fails_the_deployment(tmp_path: Path) -> None:
    with deployment(Open) as url:
        run = deploy(tmp_path, ["--yes"], answers(url), **SECRETS, SMOKE_COOKIE=COOKIE)
    assert run.code == 1
    assert "the smoke test failed" in run.err
    assert "do not let anybody use it" in run.err
    nothing_leaked(run, tmp_path)


def test_destroy_deletes_the_group_and_only_that(tmp_path: Path) -> None:
    run = deploy(tmp_path, ["destroy", "dev", "--yes"], answers("http://127.0.0.1:1"))
    assert run.code == 0, run.err
    assert [call["arguments"][:4] for call in run.called("group", "delete")] == [
        ["group", "delete", "--name", "rg-image-api-dev"]
    ]
    gone = deploy(tmp_path, ["destroy", "dev", "--yes"], answers("http://127.0.0.1:1", group=False))
    assert (gone.code, gone.err) == (1, "deploy: there is no resource group rg-image-api-dev\n")


def test_help_says_how(tmp_path: Path) -> None:
    run = deploy(tmp_path, ["--help"], [])
    assert run.code == 0
    assert "--dry-run" in run.out
    assert not run.calls


def test_the_package_is_the_product_and_starts(tmp_path: Path) -> None:
    """Unpacked where nothing else of the repository is, the app has its functions; packing it again gives the same bytes."""
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
    script = "import json, function_app as f; print(json.dumps([each.get_function_name() for each in f.app.get_functions()]))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path / "app",
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"image", "api", "recovery", "resume", "poison"} <= set(json.loads(done.stdout))
