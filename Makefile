# The targets a person remembers. `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CASE   ?= examples/llama-3.1-405b/case.toml
REPORT ?= build/report.html
# Whatever an editable installation does not see at once.
BUILT  := pyproject.toml hatch_build.py $(wildcard profilers/csrc/*)

.PHONY: help audit demo-gpu test suite lint check format bench wheel clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# One stamp an extra: `make audit` needs no test tools, `make test` needs everything.
$(VENV)/.trace: $(BUILT) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[trace]'
	@touch $@

# pip compiles 23,000 files on one core; compileall does it on all of them, but for others' tests.
$(VENV)/.dev: $(BUILT) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	@$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib > /dev/null 2>&1 || true
	@touch $@ $(VENV)/.trace

audit: $(VENV)/.trace ## audit CASE (Llama 3.1 405B unless you say another) into an HTML report
	@mkdir -p $(dir $(REPORT))
	$(BIN)/flopledger audit $(CASE) --html $(REPORT)

demo-gpu: $(VENV)/.trace ## record two scripted H100s on a stand-in driver: no GPU needed
	@mkdir -p build/nvml && rm -rf build/demo-run
	cc -shared -fPIC -O1 -std=gnu11 -Wl,-soname,libnvidia-ml.so.1 -o build/nvml/libnvidia-ml.so.1 \
	  tests/profilers/nvml_stub/script.c tests/profilers/nvml_stub/nvml.c -lm
	(awk '{printf "epoch %.0f\n", $$1 * 1e9}' /proc/uptime; cat tests/profilers/nvml_stub/demo.txt) \
	  > build/nvml/script.txt
	LD_LIBRARY_PATH=build/nvml FLOPLEDGER_NVML_SCRIPT=build/nvml/script.txt \
	  $(BIN)/flopledger run --out build/demo-run -- sleep 14

test: lint check suite ## the whole truth: style, types, walls, tests

suite: $(VENV)/.dev ## the tests alone
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.dev ## style and import walls
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

check: $(VENV)/.dev ## strict types
	$(BIN)/mypy

format: $(VENV)/.dev ## put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## start-up times against `import torch`
	$(BIN)/python benchmarks/startup.py

wheel: $(VENV)/.dev ## build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove everything that make made
	rm -rf $(VENV) build dist
