# Everything installs into .venv from the pinned, hashed requirements; of the machine's packages, `checkers` adds two.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

GO_PACKAGES := /usr/share/gocode/src/golang.org/x/mod/sumdb/note

.PHONY: run test checkers check bench lock clean

run: $(STAMP)
	@$(BIN)/python -m examples.run

test: $(STAMP) checkers
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# What some tests check our logs with, independently; they are skipped where it is not there.
checkers:
	@test -d $(GO_PACKAGES) && command -v go >/dev/null || { test "$$(id -u)" = 0 && timeout 120 apt-get -qq update \
		&& timeout 180 apt-get -qq install --yes --no-install-recommends golang-golang-x-mod-dev \
			$$(command -v go >/dev/null || echo golang-go); } >/dev/null 2>&1 \
		|| echo "golang-golang-x-mod-dev is not installed: the tests under tests/go are skipped"

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(STAMP)
	$(BIN)/python -m bench

lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
		pyproject.toml --extra dev --output-file requirements.txt

$(STAMP): requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
