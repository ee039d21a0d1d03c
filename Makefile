# The project's commands. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh

RIGHT := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c '$(RIGHT)' 2>/dev/null && command -v $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
export FRONT PORT FRONT_PORT PAGE_PORT AZURITE_BLOB_PORT AZURITE_QUEUE_PORT AZURITE_TABLE_PORT COSMOS_PORT GEMINI_PORT IMAGE PROMPT
# Every Markdown file that is kept in git, or is about to be.
MARKDOWN = $(shell git ls-files --cached --others --exclude-standard '*.md')
UNIT_TESTS = $(BIN)/python -m pytest -n auto --dist worksteal tests/unit
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Images of containers often set it. Without compiled files, each process of the tests compiles all of them again.
unexport PYTHONDONTWRITEBYTECODE

help: ## List the commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

run: local-setup ## Start the whole stack on this machine, until Ctrl-C. FRONT=swa: behind Microsoft's Static Web Apps emulator.
	@exec $(BIN)/python -m local.stack

demo: local-setup ## Make one image: make demo IMAGE=photo.jpg PROMPT="a pencil sketch"
	@$(BIN)/python -m local.demo

test: setup ## Run the unit tests, and the tests on emulators, on Azure's worker (Python 3.13) and on the whole stack.
	@$(UNIT_TESTS) --cov --cov-report=
	@$(BIN)/python checks/coverage_gate.py
	@$(BIN)/python -m pytest -n 3 --dist loadfile tests/integration tests/worker tests/e2e

test-faults: setup ## Test crashes and outages: kill hosts and take services away.
	@$(BIN)/python -m pytest tests/faults

smoke: local-python ## Test a deployment: make smoke URL=https://… (SMOKE_COOKIE=NAME=VALUE also makes an image)
	@$(BIN)/python infra/smoke.py "$(URL)"

doctor: local-python ## Find what is wrong with the local stack, or with URL=https://… or the services in the environment.
	@settings=$$($(BIN)/python -m local.config) && eval "$$settings" && exec $(BIN)/python -m operations.doctor $(if $(URL),--url "$(URL)")

usage: local-python ## Sum up spending: SINCE=2026-11-01 UNTIL=2026-12-01 BY=day,user,model CSV=--csv
	@settings=$$($(BIN)/python -m local.config) && eval "$$settings" && exec $(BIN)/python -m operations.usage \
		$(if $(SINCE),--since $(SINCE)) $(if $(UNTIL),--until $(UNTIL)) $(if $(BY),--by $(BY)) $(CSV)

test-page: setup ## Test the playground in Chromium. SCREENSHOT=1 writes the image in the README.
	@$(BIN)/python -m pytest tests/page

test-next: setup ## Test the Next.js example: build it, sign in, generate.
	@$(BIN)/python -m pytest tests/next

test-generators: setup ## Test clients generated from the OpenAPI document (downloads 300 MB once).
	@$(BIN)/python -m pytest tests/generators

test-infra: setup ## Test the templates and deploy.sh, without Azure.
	@$(BIN)/python -m pytest tests/infra

reconcile: local-setup ## Compare images with records. FIX=--fix repairs the differences.
	@settings=$$($(BIN)/python -m local.config) && eval "$$settings" && exec $(BIN)/python -m operations.reconcile $(FIX)

test-unit: setup ## Run the unit tests, which start no emulator.
	@$(UNIT_TESTS)

coverage: setup ## Lines and branches that the unit tests do not run; fails below the thresholds of checks/coverage_gate.py.
	@$(UNIT_TESTS) --cov --cov-report=term-missing:skip-covered
	@$(BIN)/python checks/coverage_gate.py

check: check-code check-infra ## Check everything that has to hold before a commit.

check-code: setup ## Check code and documents: lint, format, types, layers, dependencies, generated parts.
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m deptry . --extend-exclude '^(local|operations|infra|benchmarks|checks)/'
	@$(BIN)/python -m deptry . --non-dev-dependency-groups local
	@$(BIN)/python -m mdformat --check $(MARKDOWN)
	@$(BIN)/python checks/settings_table.py --check
	@$(BIN)/python checks/import_diagram.py --check
	@$(BIN)/python checks/retirements.py

check-infra: setup ## Check the templates and scripts of infra/: compile, lint, security rules.
	@test -d .venv-checkov || $(PYTHON) -m venv .venv-checkov
	@$(PYTHON) checks/install.py .venv-checkov/bin/python requirements/checkov.txt
	@$(BIN)/python checks/infra.py .venv-checkov/bin/python
	@$(BIN)/shellcheck infra/*.sh

check-az: setup ## Check the options of every az command against the real Azure CLI (downloads 300 MB once).
	@test -d .venv-azure-cli || $(PYTHON) -m venv .venv-azure-cli
	@$(PYTHON) checks/install.py .venv-azure-cli/bin/python requirements/azure-cli.txt
	@$(BIN)/python -m tests.infra.az_calls | .venv-azure-cli/bin/python checks/az_options.py

format: setup ## Format code and documents; write generated tables and diagrams.
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .
	@$(BIN)/python checks/settings_table.py
	@$(BIN)/python checks/import_diagram.py
	@$(BIN)/python -m mdformat $(MARKDOWN)
	@! command -v bicep > /dev/null || { bicep format --pattern 'infra/**/*.bicep' && bicep format --pattern 'infra/*.bicepparam'; }

mutation: setup ## Change a package in many small ways and list the changes that no unit test notices: ONLY=auth (billing, generations, images)
	@$(BIN)/python checks/mutation.py $(or $(ONLY),auth)

client: setup ## Generate the TypeScript client's types from the OpenAPI document.
	@$(BIN)/python checks/client_types.py

bench: setup ## Measure the product beside a floor that promises nothing: ONLY=requests,stall,cold,session,growth,worker,renditions,masks ROUNDS=3
	@$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS))

soak: setup ## Run the endurance test and the attack test, ten minutes each. SECONDS=600
	@$(BIN)/python -m benchmarks.soak $(if $(SECONDS),--seconds $(SECONDS))
	@$(BIN)/python -m benchmarks.attack $(if $(SECONDS),--seconds $(SECONDS))

imports: setup ## Draw the imports between packages in docs/design.md.
	@$(BIN)/python checks/import_diagram.py

lock: setup ## Compile the lock files from pyproject.toml. Pins stay; UPGRADE=--upgrade takes the newest versions.
	@$(BIN)/python checks/lock.py $(UPGRADE)

clean: ## Remove what the other commands made.
	@rm -rf $(VENV) .venv-3.13 .venv-checkov .venv-azure-cli .venv-generators .local local/node_modules local/swa/node_modules examples/*/node_modules examples/next/.next tests/page/node_modules tests/generators/node_modules tests/integration/auth/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-output .coverage

local-setup: $(VENV)/.python
	@$(PYTHON) checks/install.py $(BIN)/python requirements/local.txt requirements/dev.txt
	@$(BIN)/python -m local.node

local-python: $(VENV)/.python
	@$(PYTHON) checks/install.py $(BIN)/python requirements/local.txt requirements/dev.txt

setup: $(VENV)/.python
	@$(PYTHON) checks/install.py $(BIN)/python requirements/dev.txt
	@$(BIN)/python -m local.node

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11, 3.12 or 3.13 on PATH: install one, or set PYTHON to its path" >&2; exit 1; }
	@$(PYTHON) -c '$(RIGHT)' || \
		{ echo "make: $(PYTHON) is not Python 3.11, 3.12 or 3.13: set PYTHON to one" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

.PHONY: help run demo client bench soak test test-faults test-page test-generators test-next test-infra reconcile test-unit coverage mutation check check-code check-infra imports check-az format lock clean local-setup local-python setup smoke doctor usage
