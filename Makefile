# make demo, make test and make check install what they need into .venv first.
PYTHON ?= python3
BIN := .venv/bin
export FLWR_TELEMETRY_ENABLED = 0
export FLWR_DISABLE_UPDATE_CHECK = 1
# Some images set it; without bytecode on disk each worker rewrites and compiles all test files again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo check format test test-slow docs clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,recogniser,dev]'
	touch $@

demo: install
	$(BIN)/fedser simulate --corpus synthetic --out runs/demo --overwrite --baselines --rounds 6

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: install
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m 'not slow' --numprocesses auto --dist worksteal
	@$(BIN)/python -W ignore -m coverage combine --quiet  # what a killed process left of its file is no news
	@rm -f .coverage.*
	@printf 'Of all lines the fast tests run, in per cent: '
	@$(BIN)/coverage report --format=total

test-slow: install
	$(BIN)/pytest -m slow --numprocesses 2 --dist loadgroup

docs: install
	$(BIN)/python docs/reference.py runs/docs
	@echo runs/docs/index.html

clean:
	rm -rf .venv runs .coverage* .mypy_cache .ruff_cache .pytest_cache
