# What a person does with this repository. `make` alone prints the list.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Further options for demo and test, as in: make demo ARGS=--keep
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo agent docs test check bench clean

help: ## Print this help
	@echo "Longshore: AWS CodeDeploy on your own machines"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make the environment in .venv; needs Python 3.11 or newer. Quick the second time

# The stamp: made again only when what is to be installed changed.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Longshore needs Python 3.11 or newer; name one with: make PYTHON=python3.11 " + "$(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[server,onebox,dev]' --constraint constraints.txt
	@touch $@

demo: $(READY) ## Roll a small web shop over five hosts on this machine. ARGS=--keep leaves it running
	@$(BIN)/longshore demo $(ARGS)

# What the standard library loads "perhaps", and an agent never.
NOT_IN_AGENT := asyncio multiprocessing pkg_resources pydoc setuptools sqlite3 tkinter unittest
DIST ?= dist

agent: $(READY) ## Build dist/longshore-agent: the host agent as one file that needs no Python
	$(BIN)/pyinstaller --onefile --strip --optimize 2 --name longshore-agent --log-level WARN --noconfirm \
	    --hidden-import _cffi_backend $(addprefix --exclude-module ,$(NOT_IN_AGENT)) \
	    --distpath $(DIST) --workpath $(VENV)/agent --specpath $(VENV)/agent src/longshore/agent/__main__.py

docs: $(READY) ## Write anew what the code says of itself in docs/: operations, commands
	$(BIN)/python -m tests.docs.generated

test: $(READY) ## Run all tests. ARGS='-k NAME' runs some
	@.ci/postgresql
	@.ci/prometheus
	@.ci/host-tools
	$(BIN)/python $(if $(CI),.ci/no_skips.py,-m pytest) -q -n auto --dist loadfile $(ARGS)

check: $(READY) ## Lint, formatting, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## Measure; each benchmark prints our figure, the peer's, and the ratio
	$(BIN)/python -m bench

clean: ## Remove the environment and every cache
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
