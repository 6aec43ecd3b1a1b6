# Every target sets up what it needs.
# Variables: JOB RUN STORE ADDRESS WORKERS SET FOLLOW CLUSTER MINUTES FAULTS SEED ONLY.

JOB ?= binmnist
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARDM := $(BIN)/ardm

# `uv` is used if it is installed; otherwise pip installs it into the environment.
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/python -m uv)

# With this variable, which many images set, each of a job's dozen processes would compile all
# modules that it imports.
unexport PYTHONDONTWRITEBYTECODE

export ARDM_STORE := $(or $(STORE),$(ARDM_STORE),./runs)
JOB_FILE = jobs/$(JOB).yaml
RUN_OR_JOB = $(or $(RUN),--job $(JOB))
SETS := $(foreach item,$(SET),--set $(item))

.DEFAULT_GOAL := help
.PHONY: help setup submit status watch logs stop pull sample evaluate policy inpaint report dashboard plan doctor chaos soak bench bench-recovery bench-history check docs test test-fast \
        lint fix cluster-up cluster-down gcs-emulator down clean lock audit try-bounds

help: ## list all targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.done ## install all dependencies into .venv

$(VENV)/.done: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else \
	  f"ardm needs Python 3.11 to 3.13, {sys.executable} is {v[0]}.{v[1]}; name another with PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null || $(BIN)/python -m pip install --quiet uv
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

submit: setup ## train JOB, or continue RUN (FOLLOW=1 shows the progress until it ends)
	@$(ARDM) submit $(JOB_FILE) $(if $(RUN),--run $(RUN)) $(if $(ADDRESS),--address $(ADDRESS)) \
	  $(if $(CLUSTER),--cluster $(CLUSTER)) $(if $(WORKERS),--workers $(WORKERS)) $(SETS) \
	  $(if $(FOLLOW),--follow)

status: setup ## show the state of RUN, its newest checkpoint and its attempts
	@$(ARDM) status $(RUN_OR_JOB)

watch: setup ## show the progress of RUN until it ends
	@$(ARDM) watch $(RUN_OR_JOB)

logs: setup ## print the logs of RUN
	@$(ARDM) logs $(RUN_OR_JOB)

stop: setup ## ask RUN to save and stop
	@$(ARDM) stop $(RUN_OR_JOB)

pull: setup ## copy the newest checkpoint of RUN to pulled/
	@$(ARDM) pull $(RUN_OR_JOB)

sample: setup ## draw a grid of images from RUN
	@$(ARDM) sample $(RUN_OR_JOB)

evaluate: setup ## estimate the NELBO of RUN on the valid split
	@$(ARDM) evaluate $(RUN_OR_JOB)

policy: setup ## measure the cost of fewer network calls per image of RUN
	@$(ARDM) policy $(RUN_OR_JOB)

inpaint: setup ## complete the lower halves of images with RUN
	@$(ARDM) inpaint $(RUN_OR_JOB)

dashboard: setup ## serve pages of all runs to a browser on this machine
	@$(ARDM) serve

report: setup ## report the goodput and the cost of RUN
	@$(ARDM) report $(RUN_OR_JOB)

plan: setup ## predict goodput and cost on preemptible machines
	@$(ARDM) plan

doctor: setup ## check this machine, Ray and the store
	@$(ARDM) doctor

down: setup ## stop the local Ray that `make submit` started
	@$(ARDM) down

chaos: JOB = smoke
chaos: setup ## train JOB for MINUTES while faults are injected, and check the result
	@$(ARDM) chaos $(JOB_FILE) --minutes $(or $(MINUTES),10) --seed $(or $(SEED),0) \
	  $(if $(WORKERS),--workers $(WORKERS)) $(SETS)

soak: setup ## inject FAULTS faults into a tiny job, one every few seconds
	@$(ARDM) soak --faults $(or $(FAULTS),100) --seed $(or $(SEED),0)

cluster-up: setup ## start the cluster of cluster.yaml on Google Cloud
	$(BIN)/ray up -y cluster.yaml

cluster-down: setup ## stop the cluster of cluster.yaml
	$(BIN)/ray down -y cluster.yaml

gcs-emulator: setup ## run a GCS server on this machine until Ctrl-C
	@$(BIN)/python -m ardm.chaos.emulator

check: lint docs test ## run what CI runs: format, lint, types, pages and all tests

docs: setup ## build the pages of docs/ as a site with a search, in site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

lint: setup ## check the format, the lint rules and the types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: setup ## run all tests
	$(BIN)/python -m pytest --numprocesses=logical --no-loadscope-reorder

test-fast: setup ## run the tests that are neither slow nor need a cluster (a few minutes)
	$(BIN)/python -m pytest --numprocesses=logical --no-loadscope-reorder -m "not cluster and not slow"

bench: setup ## measure what training, compression and others cost (ONLY=step for a part)
	@$(BIN)/python benchmarks/bench.py $(if $(ONLY),--only $(ONLY))

bench-recovery: JOB = smoke
bench-recovery: setup ## measure the cost of kills, notices and saves, and compare Ray Train
	@$(BIN)/python benchmarks/recovery.py $(JOB_FILE)
	@$(BIN)/python benchmarks/saves.py $(JOB_FILE)

bench-history: setup ## time status, stop and a restart of a run with a long history
	@$(BIN)/python benchmarks/history.py

fix: setup ## format, and fix what the linter can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## resolve the dependencies and write the lock files
	$(UV) pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-header -q -o requirements.lock
	$(UV) pip compile pyproject.toml --extra cuda --python-version 3.12 \
	  --python-platform x86_64-manylinux_2_28 --generate-hashes --no-header -q \
	  -c requirements.lock -o requirements-cuda.lock

audit: setup ## look up known vulnerabilities of the locked dependencies (needs the network)
	@$(UV) tool run --quiet pip-audit --requirement requirements.lock --no-deps --disable-pip

try-bounds: setup ## install without the locks, at the oldest and the newest versions allowed, and use both
	@$(BIN)/python scripts/try_bounds.py

clean: ## remove the environment and all caches; runs are kept
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
