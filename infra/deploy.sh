#!/usr/bin/env bash
# Create, update or delete a deployment. `infra/deploy.sh --help` lists the options.
set -euo pipefail
set +x # never trace secrets, even if the caller's shell traces

usage() {
  cat <<'HELP'
usage: infra/deploy.sh [ENVIRONMENT] [OPTIONS]           create or update a deployment (ENVIRONMENT: dev or prod; default: dev)
       infra/deploy.sh destroy [ENVIRONMENT] [OPTIONS]   delete a deployment with everything in it

  -g, --resource-group NAME   default: rg-image-api-NAME_OF_THE_ENVIRONMENT
  -n, --name NAME             the environment's name in every resource; default: ENVIRONMENT
  -l, --location REGION       default: westeurope; for a new resource group
      --subscription ID       fail if the current subscription is another one
      --dry-run               check everything, show what would change, change nothing
  -y, --yes                   do not ask for confirmation
  -h, --help                  show this text

Secrets, from the environment. If they are neither there nor in the vault, the script asks for them:
  GEMINI_API_KEY, NEXTAUTH_SECRET (and NEXTAUTH_SECRET_PREVIOUS while secrets are rotated)
With staticWebApp = true, if no page has been deployed to the site yet: swa or npx on PATH
Values for the parameter file infra/ENVIRONMENT.bicepparam. The first two default to those of the last deployment:
  NEXTAUTH_URL, ALERT_EMAIL, OPERATOR_PRINCIPAL_ID
To make one image at the end:
  SMOKE_COOKIE (a session cookie, NAME=VALUE)
HELP
}

say() { printf '%s\n' "$*"; }
warn() { printf 'deploy: warning: %s\n' "$*" >&2; }
fail() {
  printf 'deploy: %s\n' "$*" >&2
  exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")

action=deploy environment='' group='' name='' location=westeurope subscription='' dry_run='' yes=''
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --dry-run) dry_run=1 ;;
    -y | --yes) yes=1 ;;
    -g | --resource-group | -n | --name | -l | --location | --subscription)
      [ $# -ge 2 ] || fail "$1 needs a value"
      case $1 in
        -g | --resource-group) group=$2 ;;
        -n | --name) name=$2 ;;
        -l | --location) location=$2 ;;
        --subscription) subscription=$2 ;;
      esac
      shift
      ;;
    destroy) action=destroy ;;
    -*) fail "unknown option $1; see infra/deploy.sh --help" ;;
    *)
      [ -z "$environment" ] || fail "one environment at a time: $environment or $1"
      environment=$1
      ;;
  esac
  shift
done
environment=${environment:-dev}
name=${name:-$environment}
group=${group:-rg-image-api-$name}
parameters=$here/$environment.bicepparam

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Print the line of az's standard error (in $work/errors) that names the error.
reason() {
  local line
  line=$(grep '^ERROR' "$work/errors" | tail -n 1 || true)
  [ -n "$line" ] || line=$(grep -v '^WARNING' "$work/errors" | grep . | tail -n 1 || true)
  printf %s "${line:-failed}"
}

# Run az; fail with one line of explanation. Secrets are never arguments.
azure() {
  az "$@" 2> "$work/errors" && return
  fail "az $1 $2: $(reason)"
}

# Run az for a call at the level of the subscription, which a role on the resource group does not cover. Return 3 after a
# warning if it is not allowed.
azure_if_allowed() {
  az "$@" 2> "$work/errors" && return
  grep -qiE 'AuthorizationFailed|does not have authorization|Forbidden' "$work/errors" || fail "az $1 $2: $(reason)"
  warn "this login may not call az $1 $2: not checked"
  return 3
}

# again WHAT PREDICATE COMMAND…: repeat COMMAND for up to five minutes while PREDICATE says that its error is temporary.
again() {
  local what=$1 passing=$2 tries=0
  shift 2
  while ! "$@" 2> "$work/errors"; do
    "$passing" || fail "$what: $(reason)"
    tries=$((tries + 1))
    [ "$tries" -lt "${DEPLOY_TRIES:-20}" ] || fail "$what within five minutes; run this again later: $(reason)"
    sleep "${DEPLOY_WAIT_SECONDS:-15}"
  done
}

confirmed() {
  [ -z "$yes" ] || return 0
  [ -t 0 ] || fail "standard input is not a terminal, so that nobody can confirm: add --yes"
  local answer
  read -r -p "$1 " answer
  [ "$answer" = "$2" ] || fail "nothing was changed"
}

check_name() {
  [[ $name =~ ^[a-z][a-z0-9-]{0,14}[a-z0-9]$ ]] ||
    fail "the environment's name \"$name\" must be 2 to 16 lower-case letters, digits and hyphens, a letter first"
}

check_tools() {
  for tool in az python3 curl; do
    command -v "$tool" > /dev/null || fail "$tool is not on PATH"
  done
}

check_login() {
  az account show --output none 2> /dev/null || fail "not signed in to Azure: run az login"
  subscription_id=$(azure account show --query id --output tsv)
  user_type=$(azure account show --query user.type --output tsv)
  [ -z "$subscription" ] || [ "$subscription" = "$subscription_id" ] ||
    fail "the current subscription is $subscription_id: run az account set --subscription $subscription"
}

# A pipeline's assertion is valid for five minutes, and a token for an hour: get the vault's token now.
get_tokens() {
  azure account get-access-token --resource https://vault.azure.net --output none
}

check_providers() {
  local provider state
  for provider in Microsoft.Web Microsoft.Storage Microsoft.DocumentDB Microsoft.KeyVault Microsoft.ManagedIdentity \
    Microsoft.OperationalInsights Microsoft.Insights; do
    state=$(azure_if_allowed provider show --namespace "$provider" --query registrationState --output tsv) ||
      { [ $? = 3 ] && return 0 || exit 1; }
    [ "$state" = Registered ] && continue
    if [ -n "$dry_run" ]; then
      say "would register the resource provider $provider"
    else
      say "registering the resource provider $provider"
      azure provider register --namespace "$provider" --wait --output none
    fi
  done
}

check_region() {
  azure_if_allowed functionapp list-flexconsumption-locations --query '[].name' --output tsv > "$work/regions" || return 0
  tr '[:upper:]' '[:lower:]' < "$work/regions" | tr -d ' ' | grep -qx "$(printf %s "$location" | tr '[:upper:]' '[:lower:]' | tr -d ' ')" ||
    fail "Flex Consumption is not offered in $location; az functionapp list-flexconsumption-locations lists where it is"
}

# Flex Consumption: 512 000 MB for all apps of a subscription in a region, more on request.
check_quota() {
  local memory instances
  memory=$(sed -n 's/^param instanceMemoryMB = \([0-9]*\)$/\1/p' "$parameters")
  instances=$(sed -n 's/^param maximumInstanceCount = \([0-9]*\)$/\1/p' "$parameters")
  [ -n "$memory" ] && [ -n "$instances" ] || fail "$parameters must set instanceMemoryMB and maximumInstanceCount"
  local megabytes=$((memory * instances))
  [ "$megabytes" -le 512000 ] ||
    fail "$megabytes MB of instances are more than the regional quota of 512000: lower maximumInstanceCount or ask for more"
}

find_operator() {
  [ -z "${OPERATOR_PRINCIPAL_ID:-}" ] || return 0
  if [ "$user_type" = user ]; then
    OPERATOR_PRINCIPAL_ID=$(azure ad signed-in-user show --query id --output tsv)
    OPERATOR_PRINCIPAL_TYPE=User
  else
    # A pipeline's principal can rarely read the directory. Its token has its object id.
    OPERATOR_PRINCIPAL_ID=$(azure account get-access-token --query accessToken --output tsv |
      python3 -c 'import base64, json, sys; print(json.loads(base64.urlsafe_b64decode(sys.stdin.read().split(".")[1] + "=="))["oid"])' \
        2> /dev/null) || fail "the login's token has no object id: set OPERATOR_PRINCIPAL_ID to it"
    OPERATOR_PRINCIPAL_TYPE=ServicePrincipal
  fi
  export OPERATOR_PRINCIPAL_ID OPERATOR_PRINCIPAL_TYPE
}

# Set group_exists and, if it exists, location: everything is created in the region of the group.
find_group() {
  group_exists=$(azure group exists --name "$group")
  [ "$group_exists" = true ] || return 0
  location=$(azure group show --name "$group" --query location --output tsv)
}

# last_parameter NAME: print its value in this environment's last deployment; nothing if there was none.
last_parameter() {
  python3 -c 'import json, sys
last = json.load(open(sys.argv[1], encoding="utf-8")) or {}
value = {name: (last.get(name) or {}).get("value") or "" for name in ("environmentName", sys.argv[3])}
print(value[sys.argv[3]] if value["environmentName"] == sys.argv[2] else "")' "$work/last" "$name" "$1"
}

# An update without NEXTAUTH_URL must not remove it: calls from the front end would then fail.
keep_parameters() {
  if ! az deployment group show --resource-group "$group" --name image-api --query properties.parameters --output json \
    > "$work/last" 2> "$work/errors"; then
    grep -qE 'DeploymentNotFound|could not be found' "$work/errors" || fail "az deployment group show: $(reason)"
    return 0
  fi
  if [ -z "${NEXTAUTH_URL:-}" ]; then
    NEXTAUTH_URL=$(last_parameter nextAuthUrl)
    [ -z "$NEXTAUTH_URL" ] || say "NEXTAUTH_URL is that of the last deployment: $NEXTAUTH_URL"
  fi
  [ -n "${ALERT_EMAIL:-}" ] || ALERT_EMAIL=$(last_parameter alertEmail)
  export NEXTAUTH_URL ALERT_EMAIL
}

# A vault that was deleted with its group keeps its name for 7 days. Recover it with its secrets.
recover_vault() {
  local vault id environment_of_it
  azure_if_allowed keyvault list-deleted --resource-type vault --output tsv \
    --query '[].[name, properties.vaultId, properties.tags.environment]' > "$work/deleted" || return 0
  while IFS=$'\t' read -r vault id environment_of_it; do
    [ "$environment_of_it" = "$name" ] || continue
    # Azure writes a group's name in several letter cases.
    tr '[:upper:]' '[:lower:]' <<< "$id" | grep -qF "/resourcegroups/$(tr '[:upper:]' '[:lower:]' <<< "$group")/" || continue
    say "recovering the vault $vault, which was deleted with its group"
    azure keyvault recover --name "$vault" --output none
  done < "$work/deleted"
}

# Whether the error is temporary: a new role or vault takes minutes to be known everywhere. A firewall's refusal is not.
vault_is_late() {
  ! grep -qE 'ByFirewall|ByPolicy|ByConnection' "$work/errors" &&
    grep -qiE 'forbidden|deleted but recoverable|being (deleted|recovered)|resolve|not known|max retries|connection' "$work/errors"
}

list_secrets() {
  az keyvault secret list --vault-name "$1" --query '[?attributes.enabled].name' --output tsv > "$work/secrets"
}

# put_secret VAULT NAME VALUE: pass it to az through standard input, never in an argument, a file or the environment.
put_secret() {
  printf %s "$3" | az keyvault secret set --vault-name "$1" --name "$2" --file /dev/stdin --encoding utf-8 --output none &&
    return
  # A deleted secret of this name has to be recovered first. Fail now; the caller repeats it.
  if grep -q 'deleted but recoverable' "$work/errors"; then
    az keyvault secret recover --vault-name "$1" --name "$2" --output none
  fi
  return 1
}

# ask_secret NAME VALUE KEPT: set `answer` to VALUE, else to what is typed in; to nothing if the vault has it (KEPT).
ask_secret() {
  local variable=$1 value=$2 kept=$3
  if [ -z "$value" ] && [ -z "$kept" ]; then
    [ -t 0 ] || fail "$variable is not set, and the vault does not have it yet"
    read -r -s -p "$variable: " value
    printf '\n' >&2
    [ -n "$value" ] || fail "$variable is needed"
  fi
  answer=$value
}

# refresh_references APP: without this the app keeps for a day what it has read from the vault.
refresh_references() {
  local url=/subscriptions/$subscription_id/resourceGroups/$group/providers/Microsoft.Web/sites/$1/config/configreferences/appsettings
  local tries=0 unresolved
  say "refreshing the app's references to the vault"
  while :; do
    azure rest --method post --url "$url/refresh?api-version=2022-03-01" --output none
    azure rest --method get --url "$url?api-version=2022-03-01" --query 'value[].[name, properties.status]' --output tsv > "$work/references"
    unresolved=$(awk '$2 != "Resolved" { printf "%s%s is %s", separator, $1, $2; separator = ", " }' "$work/references")
    [ -s "$work/references" ] || unresolved="the app has no references"
    [ -n "$unresolved" ] || return 0
    tries=$((tries + 1))
    [ "$tries" -lt "${DEPLOY_TRIES:-20}" ] || fail "the references to the vault do not resolve: $unresolved"
    sleep "${DEPLOY_WAIT_SECONDS:-15}"
  done
}

# Whether the error is temporary: the publishing site of a new app answers 503 for minutes, and 409 during another deployment.
# az does not retry.
publishing_is_late() {
  grep -qiE 'Status Code: (409|429|5[0-9][0-9])|ongoing deployment|another deployment is in progress|Max retries|Connection (aborted|reset)|timed out' \
    "$work/errors"
}

# publish NAME
publish() {
  # az checks the host afterwards, which a linked function app refuses. Our own checks follow.
  az functionapp deployment source config-zip --resource-group "$group" --name "$1" --src "$work/app.zip" \
    --build-remote true --timeout 900 --output none ||
    grep -qE 'Deployment was successful but|Failed to fetch host key' "$work/errors"
}

wait_until_healthy() {
  local url=$1 tries=0 status
  say "waiting for $url/api/health"
  while status=$(curl --silent --show-error --max-time 20 --output "$work/health" --write-out '%{http_code}' "$url/api/health?deep=1" \
    2> "$work/curl" || true); do
    [ "$status" = 200 ] && return
    tries=$((tries + 1))
    [ "$tries" -lt 40 ] || fail "not healthy after ten minutes (status $status): run make doctor URL=$url for the reason"
    sleep "${DEPLOY_WAIT_SECONDS:-15}"
  done
}

page_state() {
  azure staticwebapp environment list --name "$1" --resource-group "$group" --query "[?name=='default'].status" --output tsv
}

# Run the Static Web Apps command line: the installed one, else the version of the local stack.
swa() {
  if type -P swa > /dev/null; then command swa "$@"; else npx --yes @azure/static-web-apps-cli@2.0.10 "$@"; fi
}

# deploy_page SITE: deploy a first page, unless a page or front end has been deployed already.
deploy_page() {
  local state token tries=0
  state=$(page_state "$1")
  case $state in '' | WaitingForDeployment) ;; *) return 0 ;; esac
  type -P swa > /dev/null || type -P npx > /dev/null ||
    fail "the first page of $1 needs swa or npx on PATH: install Node.js, or deploy a page yourself, and run this again"
  say "deploying a first page to $1"
  token=$(azure staticwebapp secrets list --name "$1" --resource-group "$group" --query properties.apiKey --output tsv)
  mkdir "$work/page"
  cp "$here/page/index.html" "$root/playground/staticwebapp.config.json" "$work/page"
  # In an empty folder, because swa reads settings files in the current one.
  (cd "$work" && SWA_CLI_DEPLOYMENT_TOKEN=$token swa deploy page --env production) > "$work/errors" 2>&1 < /dev/null ||
    fail "the page could not be deployed: $(reason)"
  # The exit code of swa does not show whether the page is ready.
  while [ "$(page_state "$1")" != Ready ]; do
    tries=$((tries + 1))
    [ "$tries" -lt "${DEPLOY_TRIES:-20}" ] || fail "the page of $1 is not ready after five minutes"
    sleep "${DEPLOY_WAIT_SECONDS:-15}"
  done
}

is_linked() {
  azure staticwebapp backends show --name "$1" --resource-group "$group" --query '[].backendResourceId' --output tsv > "$work/linked"
  grep -qixF "$2" "$work/linked"
}

# put_in_front SITE FUNCTIONS_URL FUNCTIONS_ID REGION: check the app directly, deploy a page, link the app to the site.
put_in_front() {
  local linked=''
  if is_linked "$1" "$3"; then linked=1; fi
  [ -n "$linked" ] || wait_until_healthy "$2"
  deploy_page "$1"
  [ -z "$linked" ] || return 0
  say "linking the function app to $1"
  azure staticwebapp backends link --name "$1" --resource-group "$group" --backend-resource-id "$3" \
    --backend-region "$4" --output none
}

destroy() {
  check_tools
  check_login
  find_group
  [ "$group_exists" = true ] || fail "there is no resource group $group"
  [ -z "$dry_run" ] || { say "would delete the resource group $group of subscription $subscription_id" && return; }
  confirmed "Delete $group with every image and record? Type its name:" "$group"
  azure group delete --name "$group" --yes --output none
  say "deleted $group; deploying again within 7 days recovers the vault"
}

deploy() {
  # Remove them from the environment, so that no child process inherits them.
  local gemini=${GEMINI_API_KEY:-} nextauth=${NEXTAUTH_SECRET:-} previous=${NEXTAUTH_SECRET_PREVIOUS:-}
  local cookie=${SMOKE_COOKIE:-}
  unset GEMINI_API_KEY NEXTAUTH_SECRET NEXTAUTH_SECRET_PREVIOUS SMOKE_COOKIE
  [ -f "$parameters" ] || fail "there is no parameter file infra/$environment.bicepparam"
  check_name
  check_tools
  check_login
  get_tokens
  check_quota
  find_group
  check_region
  check_providers
  find_operator
  export ENVIRONMENT_NAME=$name
  say "subscription $subscription_id, resource group $group, environment $name"
  if [ "$group_exists" != true ]; then
    if [ -n "$dry_run" ]; then
      say "would create the resource group $group in $location, and in it:"
      azure bicep build --file "$here/main.bicep" --stdout | python3 "$here/listing.py"
      plan
      return
    fi
    # Fail now instead of after half an hour of deploying.
    [ -t 0 ] || [ -n "$gemini" ] || fail "GEMINI_API_KEY is not set, and standard input is not a terminal"
    [ -t 0 ] || [ -n "$nextauth" ] || fail "NEXTAUTH_SECRET is not set, and standard input is not a terminal"
    azure group create --name "$group" --location "$location" --output none
  else
    keep_parameters
  fi
  azure deployment group what-if --resource-group "$group" --name image-api --parameters "$parameters"
  [ -z "$dry_run" ] || { plan && return 0; }
  confirmed "Deploy this? Type yes:" yes
  recover_vault

  # The vault and its secrets come before the settings that refer to them.
  say "deploying the vault"
  local vault previous_there=false
  vault=$(azure deployment group create --resource-group "$group" --name image-api-vault --parameters "$parameters" vaultOnly=true \
    --query properties.outputs.vaultName.value --output tsv)
  again "the secrets of $vault could not be listed" vault_is_late list_secrets "$vault"
  local answer changed=''
  for secret in GEMINI_API_KEY NEXTAUTH_SECRET NEXTAUTH_SECRET_PREVIOUS; do
    local in_vault=${secret//_/-} given
    case $secret in GEMINI_API_KEY) given=$gemini ;; NEXTAUTH_SECRET) given=$nextauth ;; *) given=$previous ;; esac
    answer=$given
    [ "$secret" = NEXTAUTH_SECRET_PREVIOUS ] || ask_secret "$secret" "$given" "$(grep -x -- "$in_vault" "$work/secrets" || true)"
    [ -n "$answer" ] || continue
    again "the secret $in_vault could not be set in $vault" vault_is_late put_secret "$vault" "$in_vault" "$answer"
    say "set the secret $in_vault"
    changed=1
  done
  if [ -n "$previous" ] || grep -qx NEXTAUTH-SECRET-PREVIOUS "$work/secrets"; then previous_there=true; fi
  gemini='' nextauth='' previous='' answer=''

  say "deploying everything"
  azure deployment group create --resource-group "$group" --name image-api --parameters "$parameters" \
    previousSecret=$previous_there --query properties.outputs --output json > "$work/outputs"
  local url functions site
  url=$(output apiUrl) functions=$(output functionsName) site=$(output siteName)
  refresh_references "$functions"
  # The app was stopped if a backup was restored.
  azure functionapp start --resource-group "$group" --name "$functions" --output none
  say "publishing the code"
  python3 "$here/package.py" "$work/app.zip"
  again "the code could not be published" publishing_is_late publish "$functions"
  # Running instances still have the old secrets.
  [ -z "$changed" ] || azure functionapp restart --resource-group "$group" --name "$functions" --output none
  [ -z "$site" ] || put_in_front "$site" "$(output functionsUrl)" "$(output functionsId)" "$(output region)"
  wait_until_healthy "$url"
  SMOKE_COOKIE=$cookie make --no-print-directory -C "$root" smoke URL="$url" || fail "deployed, but the smoke test failed: run make doctor URL=$url for the reason"
  say "" "the API:      $url/api/image" && say "images:       $(output imageStorageUrl)" && say "function app: $functions" &&
    say "secrets:      $vault" && say "telemetry:    $(output insightsName)"
}

plan() {
  cat <<'PLAN'
in this order: the vault, its secrets, everything else, the app's references to the secrets until they resolve, the code, the checks;
with a Static Web App: the code is checked directly, a first page is deployed if there is none, the app is linked, the site is checked
PLAN
}

output() {
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1], encoding="utf-8"))[sys.argv[2]]["value"])' "$work/outputs" "$1"
}

"$action"
