# Everything a person does with this repository, by verb. `make` alone lists the verbs.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
STAGE ?= 6
BEGAN := $(shell date +%s)
KEEP ?=
SERVICE ?=
DATA ?= data
RUN := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo test check fmt bench bench-runtime bench-data bench-search bench-record-queries bench-waiting chaos acceptance screenshots docs grafana lock core dev bench-trends bench-record bench-optimizer planted

help: ## list these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  make demo KEEP=1                        leave the server up and say where it is"
	@echo "  make demo SERVICE='max_ids=120'         other manners of the records service"

demo: core ## the whole loop on real work, from nothing: about four minutes
	@$(RUN) -m control_plane.demo --stage $(STAGE) $(if $(KEEP),--keep) --service "$(SERVICE)" --began $(BEGAN)

# Longest rooms first, so that no long file is left over; while one file waits two others work.
test: dev ## all tests, three files at a time
	@$(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: dev ## format, lint, types and the layers
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

fmt: dev ## format, and mend what the linter can
	@.venv/bin/ruff check --fix-only -q .
	@.venv/bin/ruff format .

bench: dev ## the runtime's quick numbers, each beside the raw limits of its minute
	@$(RUN) -m bench.runtime

bench-runtime: dev ## all of them, the long ones too; PEERS=1: beside DBOS and Restate
	@$(RUN) -m bench.runtime --all

chaos: dev ## over 300 runs while all that runs them is killed and the disk fills: five minutes
	@$(RUN) -m bench.chaos

bench-record: dev ## the record beside the runs: lag, what it costs them, how fast it catches up
	@$(RUN) -m bench.record

bench-waiting: dev ## 10,000 runs that wait on timers and signals: CPU, memory, restart
	@$(RUN) -m bench.waiting

bench-trends: dev ## changes of level: power, delay, false alarms a month on real noise
	@$(RUN) -m bench.trends

bench-data: dev ## an each over a 1 GB table: bytes over pipes, memory, page faults
	@$(RUN) -m bench.data

bench-search: dev ## how well search finds causes, how fast, and how far it lags: about ten minutes
	@$(RUN) -m bench.search --save bench/results/search.json

bench-record-queries: dev ## what each query of the record reads at ten million attempts: ten minutes
	@$(RUN) -m bench.record_queries

bench-optimizer: dev ## the optimizer on public data beside all baselines; DATA=folder; hours, resumable
	@$(RUN) -m bench.optimizer --data "$(DATA)"

planted: dev ## truths planted on a real server: what is found, what trials end as, what is left alone; 25 minutes
	@$(RUN) -m bench.planted --save bench/results/planted.json

acceptance: dev ## the long proof: other services, kill trials, 200 simulated loops
	@$(RUN) -m bench.acceptance

screenshots: dev ## each page, light and dark, into screenshots/
	@$(RUN) -m bench.screenshots

docs: dev ## write docs/reference anew from the code
	@$(RUN) docs/reference/write.py

grafana: dev ## write the Grafana dashboard anew
	@$(RUN) docs/grafana/write.py

lock: ## write the lock files anew from pyproject.toml
	@PYTHON=$(PYTHON) .ci/lock

core:
	@$(PYTHON) .ci/prepare.py core

dev:
	@$(PYTHON) .ci/prepare.py dev
