#!/usr/bin/env bash
# From a clone to a running deployment, and from a change to an update. `infra/deploy.sh --help` says how.
set -euo pipefail
set +x # whatever a caller's shell does, secrets are not traced

usage() {
  cat <<'HELP'
usage: infra/deploy.sh [ENVIRONMENT] [OPTIONS]      create or update it (ENVIRONMENT: dev, prod; dev unless given)
       infra/deploy.sh destroy [ENVIRONMENT] [OPTIONS]   delete it with everything in it

  -g, --resource-group NAME   default: rg-image-api-NAME_OF_THE_ENVIRONMENT
  -n, --name NAME             the environment's name in every resource; default: ENVIRONMENT
  -l, --location REGION       default: westeurope; for a new resource group
      --subscription ID       refuse to work on another one
      --dry-run               check everything, show what would change, change nothing
  -y, --yes                   do not ask
  -h, --help

From the environment, else asked for where they are missing in the vault:
  GEMINI_API_KEY, NEXTAUTH_SECRET (and NEXTAUTH_SECRET_PREVIOUS while secrets are rotated)
For the parameter file infra/ENVIRONMENT.bicepparam:
  NEXTAUTH_URL, ALERT_EMAIL, OPERATOR_PRINCIPAL_ID
For one real generation at the end:
  SMOKE_COOKIE (a session cookie, NAME=VALUE)
HELP
}

say() { printf '%s\n' "$*"; }
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

# az, with its last line as ours where it fails. Nothing secret is ever an argument.
azure() {
  az "$@" 2> "$work/errors" && return
  local why
  why=$(grep -v '^WARNING' "$work/errors" | grep . | tail -n 1 || true)
  fail "az $1 $2: ${why:-failed}"
}

confirmed() {
  [ -z "$yes" ] || return 0
  [ -t 0 ] || fail "nobody is there to ask: add --yes"
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

check_providers() {
  local provider state
  for provider in Microsoft.Web Microsoft.Storage Microsoft.DocumentDB Microsoft.KeyVault Microsoft.ManagedIdentity \
    Microsoft.OperationalInsights Microsoft.Insights; do
    state=$(azure provider show --namespace "$provider" --query registrationState --output tsv)
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
  azure functionapp list-flexconsumption-locations --query '[].name' --output tsv > "$work/regions"
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
    OPERATOR_PRINCIPAL_ID=$(azure ad sp show --id "$(azure account show --query user.name --output tsv)" --query id --output tsv)
    OPERATOR_PRINCIPAL_TYPE=ServicePrincipal
  fi
  export OPERATOR_PRINCIPAL_ID OPERATOR_PRINCIPAL_TYPE
}

find_group() { group_exists=$(azure group exists --name "$group"); }

# A vault that was deleted with its group keeps its name for a week: it comes back with its secrets.
recover_vault() {
  local vault
  vault=$(azure keyvault list-deleted --resource-type vault --output tsv \
    --query "[?contains(properties.vaultId, '/resourceGroups/$group/')].name")
  [ -z "$vault" ] && return
  say "recovering the vault $vault, which was deleted with its group"
  azure keyvault recover --name "$vault" --output none
}

# set_secret VAULT NAME VALUE: to az through standard input, never in an argument, a file or its environment.
set_secret() {
  local tries=0
  while ! printf %s "$3" | az keyvault secret set --vault-name "$1" --name "$2" --file /dev/stdin --encoding utf-8 \
    --output none 2> "$work/errors"; do
    # A role that was just given takes minutes to be known everywhere.
    grep -qi 'forbidden' "$work/errors" || fail "the secret $2 could not be set in $1: $(grep . "$work/errors" | tail -n 1)"
    tries=$((tries + 1))
    [ "$tries" -lt 20 ] || fail "the right to set secrets in $1 has not arrived: run this again in some minutes"
    sleep "${DEPLOY_WAIT_SECONDS:-15}"
  done
  say "set the secret $2"
}

# The value of one secret: from the environment, else typed in. Empty: the vault has it already.
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

wait_until_healthy() {
  local url=$1 tries=0 status
  say "waiting for $url/api/health"
  while status=$(curl --silent --show-error --max-time 20 --output "$work/health" --write-out '%{http_code}' "$url/api/health?deep=1" \
    2> "$work/errors" || true); do
    [ "$status" = 200 ] && return
    tries=$((tries + 1))
    [ "$tries" -lt 40 ] || fail "not healthy after ten minutes (status $status): make doctor URL=$url says why"
    sleep "${DEPLOY_WAIT_SECONDS:-15}"
  done
}

destroy() {
  check_tools
  check_login
  find_group
  [ "$group_exists" = true ] || fail "there is no resource group $group"
  [ -z "$dry_run" ] || { say "would delete the resource group $group of subscription $subscription_id" && return; }
  confirmed "Delete $group with every picture and record? Type its name:" "$group"
  azure group delete --name "$group" --yes --output none
  say "deleted $group; the vault can be recovered for 7 days, which deploying again does"
}

deploy() {
  # Out of the environment at once: no child process inherits them.
  local gemini=${GEMINI_API_KEY:-} nextauth=${NEXTAUTH_SECRET:-} previous=${NEXTAUTH_SECRET_PREVIOUS:-}
  local cookie=${SMOKE_COOKIE:-}
  unset GEMINI_API_KEY NEXTAUTH_SECRET NEXTAUTH_SECRET_PREVIOUS SMOKE_COOKIE
  [ -f "$parameters" ] || fail "there is no parameter file infra/$environment.bicepparam"
  check_name
  check_tools
  check_login
  check_quota
  check_region
  check_providers
  find_operator
  export ENVIRONMENT_NAME=$name
  say "subscription $subscription_id, resource group $group, environment $name"
  find_group
  if [ "$group_exists" != true ]; then
    if [ -n "$dry_run" ]; then
      say "would create the resource group $group in $location, and in it:"
      azure bicep build --file "$here/main.bicep" --stdout | python3 "$here/listing.py"
      return
    fi
    # Better now than after half an hour of deploying.
    [ -t 0 ] || [ -n "$gemini" ] || fail "GEMINI_API_KEY is not set, and nobody is there to type it"
    [ -t 0 ] || [ -n "$nextauth" ] || fail "NEXTAUTH_SECRET is not set, and nobody is there to type it"
    azure group create --name "$group" --location "$location" --output none
  fi
  azure deployment group what-if --resource-group "$group" --name image-api --parameters "$parameters"
  [ -z "$dry_run" ] || return 0
  confirmed "Deploy this? Type yes:" yes
  recover_vault
  azure deployment group create --resource-group "$group" --name image-api --parameters "$parameters" \
    --query properties.outputs --output json > "$work/outputs"
  local url functions vault kept
  url=$(output apiUrl) functions=$(output functionsName) vault=$(output vaultName)
  kept=$(azure keyvault secret list --vault-name "$vault" --query '[].name' --output tsv 2> /dev/null || true)
  local answer changed=''
  for secret in GEMINI_API_KEY NEXTAUTH_SECRET NEXTAUTH_SECRET_PREVIOUS; do
    local in_vault=${secret//_/-} given
    case $secret in GEMINI_API_KEY) given=$gemini ;; NEXTAUTH_SECRET) given=$nextauth ;; *) given=$previous ;; esac
    answer=$given
    [ "$secret" = NEXTAUTH_SECRET_PREVIOUS ] || ask_secret "$secret" "$given" "$(printf '%s\n' "$kept" | grep -x -- "$in_vault" || true)"
    [ -z "$answer" ] || { set_secret "$vault" "$in_vault" "$answer" && changed=1; }
  done
  gemini='' nextauth='' previous='' answer=''
  say "publishing the code"
  python3 "$here/package.py" "$work/app.zip"
  azure functionapp deployment source config-zip --resource-group "$group" --name "$functions" --src "$work/app.zip" \
    --build-remote true --timeout 900 --output none
  # References to the vault are read when an instance starts.
  [ -z "$changed" ] || azure functionapp restart --resource-group "$group" --name "$functions" --output none
  wait_until_healthy "$url"
  SMOKE_COOKIE=$cookie make --no-print-directory -C "$root" smoke URL="$url" || fail "deployed, but the smoke test failed: make doctor URL=$url"
  say "" "the API:      $url/api/image" && say "pictures:     $(output picturesUrl)" && say "function app: $functions" &&
    say "secrets:      $vault" && say "telemetry:    $(output insightsName)"
}

output() {
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1], encoding="utf-8"))[sys.argv[2]]["value"])' "$work/outputs" "$1"
}

"$action"
