# Everything here needs only Python (3.11 or later), pip and make: the rest is installed into .venv by itself.
#
#   make PYTHON=/path/to/python ...   another interpreter, in a fresh clone or after `make clean`

VENV ?= .venv
PYTHON ?= $(shell scripts/pythons | head -n 1 | cut -d ' ' -f 2-)

BIN := $(VENV)/bin
READY := $(VENV)/.installed
SAM := .venv-sam/.installed
MINISTACK := .venv-ministack/.installed
FUZZ := .venv-fuzz/.installed
FUZZ_SECONDS ?= 60
MUTATION := .venv-mutation/.installed
CHECKED := asyncbatch pytest_asyncbatch.py $(wildcard examples/*.py) benchmarks $(wildcard tests/typing/*.py)
# Tests that run beside the others, on another core: they cover nothing more, and being traced takes them twice as long.
ASIDE := tests/cli tests/components tests/examples tests/fuzzing tests/runtime tests/simulation tests/testing tests/tuning tests/test_benchmarks.py
# Every branch of what decides a record's fate. 3.11 has no eager tasks, so it cannot take the branches for them.
GATE = $(shell $(BIN)/python -c 'import sys; print(100 if sys.version_info >= (3, 12) else 99)')

SOAK_WORLDS ?= 2000000
SOAK_SECONDS ?= 3600

# Behind a proxy that signs for itself, the system knows its certificate and uv's own list does not.
export UV_SYSTEM_CERTS := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-all mutation lint ruff types contracts format bench fuzz soak clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r name text; \
		do printf '  make %-9s %s\n' "$$name" "$$text"; done

demo: $(READY) ## Process thousands of records of every event source
	$(BIN)/python examples/demo.py

test: $(READY) $(SAM) $(MINISTACK) ## Run all tests, and hold the coverage of what decides
	@log=$$(mktemp) && trap 'rm -f "$$log"' EXIT; \
	$(BIN)/pytest $(ASIDE) > "$$log" 2>&1 & aside=$$!; \
	$(BIN)/coverage run -m pytest $(addprefix --ignore=,$(ASIDE)); here=$$?; \
	wait $$aside; aside=$$?; cat "$$log"; \
	[ $$here -eq 0 ] && [ $$aside -eq 0 ]
	$(BIN)/coverage report --fail-under=$(GATE)

test-all: ## The same with every interpreter found, each in an environment of its own
	@scripts/pythons > /dev/null
	@scripts/pythons | { failed=; while read -r version python; do \
		echo "== Python $$version: $$python"; \
		$(MAKE) test VENV=.venv-$$version PYTHON="$$python" < /dev/null || failed="$$failed $$version"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed with Python$$failed" >&2; exit 1; fi; }

# A run of its own, from nothing: verdicts that were kept say little about tests that have changed since.
mutation: $(MUTATION) ## Break the engine in every small way and see the tests notice: tests/mutation.md
	rm -rf mutants
	HYPOTHESIS_PROFILE=mutation PYTHONHASHSEED=0 .venv-mutation/bin/mutmut run --max-children 2
	.venv-mutation/bin/mutmut results

lint: ruff types contracts ## Static checks: ruff, mypy, pyright, import contracts

ruff: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)
	$(BIN)/mypy $(CHECKED)
	$(BIN)/mypy examples/powertools
	$(BIN)/pyright --project pyproject.toml --pythonpath $(BIN)/python

contracts: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pyright --verifytypes asyncbatch --ignoreexternal
	$(BIN)/lint-imports

format: $(READY) ## Format the code
	$(BIN)/ruff format

# Every interpreter in an environment of its own, with the same few packages; the newest measures most.
bench: ## Measure the overhead beside other ways to process a batch, and write a report
	@scripts/pythons > /dev/null
	@scripts/pythons | { first=; also=; while read -r version python; do \
		$(MAKE) -s .venv-bench-$$version/.installed PYTHON="$$python" < /dev/null || exit 1; \
		environment=.venv-bench-$$version/bin/python; \
		if [ -z "$$first" ]; then first=$$environment; else also="$$also --also $$environment"; fi; \
	done; \
	$$first -m benchmarks run $$also $(ARGS); }

fuzz: $(FUZZ) ## Look for events that break a promise, for FUZZ_SECONDS
	$(<D)/bin/python tests/fuzzing/fuzz_events.py -max_total_time=$(FUZZ_SECONDS) $(ARGS)

soak: $(READY) ## Let millions of simulated worlds live, then invoke a function for an hour
	$(BIN)/python tests/simulation/soak.py --worlds $(SOAK_WORLDS) --first 1000000
	$(BIN)/python tests/simulation/soak_runtime.py --seconds $(SOAK_SECONDS)

clean: ## Remove what make and the tools made, environments too
	rm -rf .venv .venv-* .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf build dist htmlcov mutants benchmarks/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv is quick; where only pip's own configuration knows the way to packages, pip does the same.
$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { scripts/pythons; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[all]' --group dev \
		|| $(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	@touch $@

# Environments of their own, for they pin other versions of what the tests use.
# AWS's Runtime Interface Emulator, its sample events and its checks of templates:
$(SAM): REQUIREMENT := aws-sam-cli>=1.140
# SQS and DynamoDB servers:
$(MINISTACK): REQUIREMENT := ministack>=1.5.33

$(SAM) $(MINISTACK): | $(READY)
	test -x $(@D)/bin/python || $(BIN)/python -m venv $(@D)
	$(BIN)/uv pip install --quiet --python $(@D)/bin/python '$(REQUIREMENT)' \
		|| $(@D)/bin/python -m pip install --quiet '$(REQUIREMENT)'
	@touch $@

# What is measured, and what measures it:
.venv-bench-%/.installed: pyproject.toml
	test -x $(@D)/bin/python || "$(PYTHON)" -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade pip uv
	$(@D)/bin/uv pip install --quiet --python $(@D)/bin/python --editable '.[tune]' --group bench \
		|| $(@D)/bin/python -m pip install --quiet --editable '.[tune]' --group bench
	@touch $@

# The fuzzer has wheels for some interpreters and systems only, and few people run it.
$(FUZZ): pyproject.toml | $(READY)
	test -x $(@D)/bin/python || $(BIN)/python -m venv $(@D)
	$(BIN)/uv pip install --quiet --python $(@D)/bin/python --editable '.[pydantic]' 'atheris>=3.0' \
		|| $(@D)/bin/python -m pip install --quiet --editable '.[pydantic]' 'atheris>=3.0' \
		|| { echo "atheris cannot be installed for $$($(BIN)/python -V), so there is no fuzzing here: it has wheels" \
			"for CPython 3.11 to 3.13 on Linux x86-64. In a fresh clone, make PYTHON=/path/to/python takes another." \
			>&2; exit 1; }
	@touch $@

# The tests' own versions, for the interpreter of the environment above, and the tool that breaks the code:
$(MUTATION): pyproject.toml | $(READY)
	test -x $(@D)/bin/python || $(BIN)/python -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade pip
	$(BIN)/uv pip install --quiet --python $(@D)/bin/python --editable '.[all]' --group mutation \
		|| $(@D)/bin/python -m pip install --quiet --editable '.[all]' --group mutation
	@touch $@
