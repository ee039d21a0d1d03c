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

help: ## Say what there is.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

run: local-setup ## Start the whole stack on this machine; Ctrl-C ends it. FRONT=swa: behind Microsoft's Static Web Apps emulator.
	@exec $(BIN)/python -m local.stack

demo: local-setup ## Make one picture: make demo IMAGE=photo.jpg PROMPT="a pencil sketch"
	@$(BIN)/python -m local.demo

test: setup ## Run the unit tests, those on the emulators, on Azure's worker (Python 3.13) and on the whole stack.
	@$(UNIT_TESTS) --cov --cov-report=
	@$(BIN)/python checks/coverage_gate.py
	@$(BIN)/python -m pytest -n 3 --dist loadfile tests/integration tests/worker tests/e2e

test-faults: setup ## Kill hosts and take services away, at every point where something could be lost.
	@$(BIN)/python -m pytest tests/faults

smoke: local-python ## Does a deployment do its job? make smoke URL=https://… (SMOKE_COOKIE=NAME=VALUE for a real generation)
	@$(BIN)/python infra/smoke.py "$(URL)"

doctor: local-python ## Why does it not work? The local stack, or URL=https://…, or what the environment leads to.
	@settings=$$($(BIN)/python -m local.config) && eval "$$settings" && exec $(BIN)/python -m operations.doctor $(if $(URL),--url "$(URL)")

usage: local-python ## Who spent what: SINCE=2026-11-01 UNTIL=2026-12-01 BY=day,user,model CSV=--csv
	@settings=$$($(BIN)/python -m local.config) && eval "$$settings" && exec $(BIN)/python -m operations.usage \
		$(if $(SINCE),--since $(SINCE)) $(if $(UNTIL),--until $(UNTIL)) $(if $(BY),--by $(BY)) $(CSV)

test-page: setup ## Do in Chromium what a person does with the playground, behind Microsoft's emulator too; SCREENSHOT=1 makes the README's picture anew.
	@$(BIN)/python -m pytest tests/page

test-next: setup ## Build the Next.js example, sign in through next-auth, generate through its rewrites.
	@$(BIN)/python -m pytest tests/next

test-generators: setup ## Lint the OpenAPI document, generate clients from it, call the API with them (300 MB, once).
	@$(BIN)/python -m pytest tests/generators

test-infra: setup ## What every deployment would create, a change of each property that must be noticed, deploy.sh.
	@$(BIN)/python -m pytest tests/infra

reconcile: local-setup ## Compare images with records, here or where the environment leads: FIX=--fix repairs.
	@settings=$$($(BIN)/python -m local.config) && eval "$$settings" && exec $(BIN)/python -m operations.reconcile $(FIX)

test-unit: setup ## Run the unit tests, which start no emulator.
	@$(UNIT_TESTS)

coverage: setup ## Lines and branches that the unit tests do not run; fails below the thresholds of checks/coverage_gate.py.
	@$(UNIT_TESTS) --cov --cov-report=term-missing:skip-covered
	@$(BIN)/python checks/coverage_gate.py

check: setup ## Lint, format, types, layers.
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m deptry . --extend-exclude '^(local|operations|infra|benchmarks|checks)/'
	@$(BIN)/python -m deptry . --non-dev-dependency-groups local
	@$(BIN)/python -m mdformat --check $(MARKDOWN)
	@$(BIN)/python checks/settings_table.py --check
	@$(BIN)/python checks/retirements.py
	@$(MAKE) --no-print-directory check-infra

check-infra: setup ## The templates and scripts of infra/: compiled, linted, and looked at by checkov.
	@test -d .venv-checkov || $(PYTHON) -m venv .venv-checkov
	@$(PYTHON) checks/install.py .venv-checkov/bin/python requirements/checkov.txt
	@$(BIN)/python checks/infra.py .venv-checkov/bin/python
	@$(BIN)/shellcheck infra/*.sh

check-az: setup ## The options of every az call of deploy.sh, the documentation and the doctor, against the real Azure CLI (300 MB, once).
	@test -d .venv-azure-cli || $(PYTHON) -m venv .venv-azure-cli
	@$(PYTHON) checks/install.py .venv-azure-cli/bin/python requirements/azure-cli.txt
	@$(BIN)/python -m tests.infra.az_calls | .venv-azure-cli/bin/python checks/az_options.py

format: setup ## Put the code into its form.
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .
	@$(BIN)/python checks/settings_table.py
	@$(BIN)/python -m mdformat $(MARKDOWN)
	@! command -v bicep > /dev/null || { bicep format --pattern 'infra/**/*.bicep' && bicep format --pattern 'infra/*.bicepparam'; }

client: setup ## Make the types of the TypeScript client anew from the API's document.
	@$(BIN)/python checks/client_types.py

bench: setup ## Measure the product beside a floor that promises nothing: ONLY=requests,stall,cold,session,growth,worker,renditions,masks ROUNDS=3
	@$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS))

soak: setup ## Ten minutes of good, bad, slow, refused and abandoned requests: nothing grows, nothing is lost. Then two attackers and a victim. SECONDS=600
	@$(BIN)/python -m benchmarks.soak $(if $(SECONDS),--seconds $(SECONDS))
	@$(BIN)/python -m benchmarks.attack $(if $(SECONDS),--seconds $(SECONDS))

lock: setup ## Compile the lock files from pyproject.toml. UPGRADE=--upgrade takes new versions, else pins stay.
	@$(BIN)/python checks/lock.py $(UPGRADE)

clean: ## Remove what the other commands made.
	@rm -rf $(VENV) .venv-3.13 .venv-checkov .venv-azure-cli .venv-generators .local local/node_modules local/swa/node_modules examples/*/node_modules examples/next/.next tests/page/node_modules tests/generators/node_modules tests/integration/auth/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-output .coverage

local-setup: $(VENV)/.python ## (part of run and demo)
	@$(PYTHON) checks/install.py $(BIN)/python requirements/local.txt requirements/dev.txt
	@$(BIN)/python -m local.node

local-python: $(VENV)/.python ## (part of smoke and doctor)
	@$(PYTHON) checks/install.py $(BIN)/python requirements/local.txt requirements/dev.txt

setup: $(VENV)/.python ## (part of test and check)
	@$(PYTHON) checks/install.py $(BIN)/python requirements/dev.txt
	@$(BIN)/python -m local.node

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "make: Python 3.11, 3.12 or 3.13 is needed, and none is on PATH (or set PYTHON)" >&2; exit 1; }
	@$(PYTHON) -c '$(RIGHT)' || \
		{ echo "make: Python 3.11, 3.12 or 3.13 is needed, and $(PYTHON) is another: set PYTHON" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

.PHONY: help run demo client bench soak test test-faults test-page test-generators test-next test-infra reconcile test-unit coverage check check-infra check-az format lock clean local-setup local-python setup smoke doctor usage
