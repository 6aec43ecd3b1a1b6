# Every target sets up what it needs.
# Variables: JOB RUN STORE ADDRESS WORKERS SET FOLLOW CLUSTER MINUTES FAULTS SEED.

JOB ?= binmnist
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARDM := $(BIN)/ardm

# The lock files name no host; `uv` may come from the machine or through pip.
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/python -m uv)

# Where it is set, as in many images, each of a job's dozen processes compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

export ARDM_STORE := $(or $(STORE),$(ARDM_STORE),./runs)
JOB_FILE = jobs/$(JOB).yaml
RUN_OR_JOB = $(or $(RUN),--job $(JOB))
SETS := $(foreach item,$(SET),--set $(item))

.DEFAULT_GOAL := help
.PHONY: help setup submit status watch logs stop pull sample evaluate policy inpaint report plan chaos soak bench bench-recovery bench-history check test test-fast \
        lint fix cluster-up cluster-down gcs-emulator down clean lock try-bounds

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.done ## install everything into .venv

$(VENV)/.done: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else \
	  f"ardm needs Python 3.11 to 3.13, {sys.executable} is {v[0]}.{v[1]}; name another with PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null || $(BIN)/python -m pip install --quiet uv
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

submit: setup ## train JOB; the same RUN goes on (FOLLOW=1 stays and shows the progress)
	@$(ARDM) submit $(JOB_FILE) $(if $(RUN),--run $(RUN)) $(if $(ADDRESS),--address $(ADDRESS)) \
	  $(if $(CLUSTER),--cluster $(CLUSTER)) $(if $(WORKERS),--workers $(WORKERS)) $(SETS) \
	  $(if $(FOLLOW),--follow)

status: setup ## what RUN is doing
	@$(ARDM) status $(RUN_OR_JOB)

watch: setup ## progress of RUN until it ends
	@$(ARDM) watch $(RUN_OR_JOB)

logs: setup ## the logs of RUN
	@$(ARDM) logs $(RUN_OR_JOB)

stop: setup ## have RUN save and end
	@$(ARDM) stop $(RUN_OR_JOB)

pull: setup ## copy the newest checkpoint of RUN to pulled/
	@$(ARDM) pull $(RUN_OR_JOB)

sample: setup ## draw a grid of images from RUN
	@$(ARDM) sample $(RUN_OR_JOB)

evaluate: setup ## the test NELBO of RUN
	@$(ARDM) evaluate $(RUN_OR_JOB)

policy: setup ## what fewer network calls per image of RUN cost
	@$(ARDM) policy $(RUN_OR_JOB)

inpaint: setup ## complete halves of test images with RUN
	@$(ARDM) inpaint $(RUN_OR_JOB)

report: setup ## goodput and cost of RUN
	@$(ARDM) report $(RUN_OR_JOB)

plan: setup ## expected goodput and cost on preemptible machines
	@$(ARDM) plan

down: setup ## stop the local Ray that `make submit` started
	@$(ARDM) down

chaos: JOB = smoke
chaos: setup ## train JOB for MINUTES among kills, drains and outages; shows what was lost
	@$(ARDM) chaos $(JOB_FILE) --minutes $(or $(MINUTES),10) --seed $(or $(SEED),0) \
	  $(if $(WORKERS),--workers $(WORKERS)) $(SETS)

soak: setup ## train a tiny job among FAULTS faults of this machine, one every few seconds
	@$(ARDM) soak --faults $(or $(FAULTS),100) --seed $(or $(SEED),0)

cluster-up: setup ## start the cluster of cluster.yaml on Google Cloud
	$(BIN)/ray up -y cluster.yaml

cluster-down: setup ## end the cluster of cluster.yaml
	$(BIN)/ray down -y cluster.yaml

gcs-emulator: setup ## run a GCS server on this machine until Ctrl-C
	@$(BIN)/python -m ardm.chaos.emulator

check: lint test ## what CI runs: format, lint, types, all tests

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: setup ## all tests
	$(BIN)/python -m pytest --numprocesses=logical --no-loadscope-reorder

test-fast: setup ## the tests without a cluster and without what is slow: a few minutes
	$(BIN)/python -m pytest --numprocesses=logical --no-loadscope-reorder -m "not cluster and not slow"

bench: setup ## time a training step, in pairs
	@$(BIN)/python benchmarks/step.py $(JOB_FILE)

bench-recovery: JOB = smoke
bench-recovery: setup ## what kills, notices and saves cost, beside Ray Train's defaults
	@$(BIN)/python benchmarks/recovery.py $(JOB_FILE)
	@$(BIN)/python benchmarks/saves.py $(JOB_FILE)

bench-history: setup ## what a long past costs: status, stop and a restart at 40 ms per answer
	@$(BIN)/python benchmarks/history.py

fix: setup ## format and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## resolve the lock files anew
	$(UV) pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-header -q -o requirements.lock
	$(UV) pip compile pyproject.toml --extra cuda --python-version 3.12 \
	  --python-platform x86_64-manylinux_2_28 --generate-hashes --no-header -q \
	  -c requirements.lock -o requirements-cuda.lock

try-bounds: setup ## install without the locks, at the oldest and the newest versions allowed, and use both
	@$(BIN)/python scripts/try_bounds.py

clean: ## remove the environment and all caches, but no run
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
