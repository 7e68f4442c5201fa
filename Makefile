# make demo | test | test-s2n | dev | wheels | bench | docs | lint | fuzz | soak | clean
#
# Every target makes what it needs first: the system's packages (tools/bootstrap.sh), the virtual environment .venv,
# the extensions built in place. Nothing is done twice: stamps are in .cache/stamps.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

PYTHON := $(shell tools/find-python.sh)
JOBS := $(shell getconf _NPROCESSORS_ONLN)
SOAK_SECONDS ?= 60
FUZZ_SECONDS ?= 60

VENV := .venv
PY := $(CURDIR)/$(VENV)/bin/python
CACHE := .cache
STAMPS := $(CACHE)/stamps
SUMMARY := $(CACHE)/summary
export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# pip must not read answers from a terminal that is not there
export PIP_NO_INPUT := 1

HEADERS := $(wildcard crt/include/crt/*) $(wildcard packages/*/src/awscrt/include/awscrt/*)
PYTHON_FILES = $(shell find packages -name '*.py' -not -path '*/build/*')
BUILD_FILES := packages/awscrt-core/src/awscrt/build.py packages/awscrt-core/src/awscrt/_version.py

.PHONY: help
help:
	@echo "make demo      a guided tour: S3, HTTPS and MQTT over the loopback interface, under two minutes"
	@echo "make test      lint, docs, C tests under sanitizers, wheels, the whole suite on several interpreters"
	@echo "make dev       build the extensions in place and the environment .venv"
	@echo "make test-s2n  the TLS tests over s2n-tls, installed in S2N_ROOT"
	@echo "make wheels    sdists and wheels of all distributions into dist/"
	@echo "make bench     side-by-side benchmarks (benchmarks/)"
	@echo "make docs      HTML documentation into docs/_build"
	@echo "make lint      ruff and mypy"
	@echo "make fuzz      every fuzz target for FUZZ_SECONDS ($(FUZZ_SECONDS))"
	@echo "make soak      long-running tests for SOAK_SECONDS ($(SOAK_SECONDS)) each"
	@echo "make clean     remove everything that was built"

# ---- environment ----

.PHONY: system
system:
	@tools/bootstrap.sh

$(STAMPS)/venv: tools/requirements-dev.txt tools/requirements-test.txt tools/requirements-compat.txt \
		tools/requirements-build.txt | system
	@mkdir -p $(STAMPS)
	"$${PYTHON:-$$(tools/find-python.sh)}" -m venv --clear $(VENV)
	$(PY) -m pip install -q -r tools/requirements-dev.txt
	$(PY) -m pip install -q --no-deps -r tools/requirements-compat.txt
	$(PY) tools/link_checkout.py
	@touch $@

# ---- extensions in place ----

define inplace_rule
$(STAMPS)/inplace-$(1): $(shell find packages/awscrt-$(1)/native $(wildcard packages/awscrt-$(1)/crt/*/) packages/awscrt-$(1)/setup.py packages/awscrt-$(1)/pyproject.toml -type f) \
		$(HEADERS) $(BUILD_FILES) $(STAMPS)/venv
	cd packages/awscrt-$(1) && $(PY) setup.py -q egg_info build_ext --inplace --force
	@touch $$@
endef
FEATURES := $(patsubst packages/awscrt-%/setup.py,%,$(wildcard packages/*/setup.py))
$(foreach feature,$(FEATURES),$(eval $(call inplace_rule,$(feature))))

.PHONY: dev inplace
inplace: $(FEATURES:%=$(STAMPS)/inplace-%)
dev: $(STAMPS)/venv
	@$(MAKE) --no-print-directory -j$(JOBS) inplace

# ---- what people ask for ----

.PHONY: demo
demo: dev
	@$(PY) -m awscrt.testing.demo

.PHONY: bench
bench: dev $(STAMPS)/wheels $(STAMPS)/foreign-wheels
	@tools/bootstrap.sh bench
	$(PY) benchmarks/bench.py --wheels dist --wheels $(CACHE)/foreign-wheels $(BENCH_ARGS)

$(STAMPS)/docs-requirements: tools/requirements-docs.txt $(STAMPS)/venv
	$(PY) -m pip install -q -r tools/requirements-docs.txt
	@touch $@

.PHONY: docs
docs: dev $(STAMPS)/docs-requirements
	$(PY) -m sphinx -q -W --keep-going -b html docs docs/_build

.PHONY: soak
soak: dev
	SOAK_SECONDS=$(SOAK_SECONDS) $(PY) -m pytest -m soak tests

# ---- wheels ----

$(STAMPS)/wheels: $(HEADERS) $(BUILD_FILES) $(shell find crt packages -type f -name '*.[ch]') $(PYTHON_FILES) \
		$(wildcard packages/*/pyproject.toml packages/*/MANIFEST.in packages/*/README.md) pyproject.toml MANIFEST.in README.md \
		tools/build_wheels.py $(STAMPS)/venv
	$(PY) tools/build_wheels.py dist
	@touch $@

# The packages from elsewhere that the wheels need: the packaging tests install without an index.
$(STAMPS)/foreign-wheels: tools/requirements-test.txt $(STAMPS)/venv
	rm -rf $(CACHE)/foreign-wheels
	$(PY) -m pip download -q --only-binary :all: -d $(CACHE)/foreign-wheels $$(grep -E "^(pluggy|rich)=" tools/requirements-test.txt) \
		-r tools/requirements-build.txt
	@touch $@

.PHONY: wheels
wheels: $(STAMPS)/wheels $(STAMPS)/foreign-wheels
	@ls dist

# ---- checks ----

.PHONY: lint
lint: $(STAMPS)/venv
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) tools/merge_packages.py $(CACHE)/merged
	$(PY) -m mypy $(CACHE)/merged/awscrt

.PHONY: test-c
test-c: | system
	cd crt && cmake --preset asan >/dev/null
	cd crt && cmake --build --preset asan -j$(JOBS) -- --no-print-directory -s
	cd crt && ctest --preset asan -j$(JOBS)

# The TLS tests over s2n-tls: make test-s2n S2N_ROOT=<where it is installed>. Core is built again without it after that.
.PHONY: test-s2n
test-s2n: dev
	@test -n "$(S2N_ROOT)" || { echo "make test-s2n S2N_ROOT=<where s2n-tls is installed>"; exit 1; }
	cmake -S crt -B build/crt-s2n -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCRT_SANITIZE=address,undefined -DS2N_ROOT=$(S2N_ROOT) >/dev/null
	cmake --build build/crt-s2n -j$(JOBS) -- --no-print-directory -s
	ctest --test-dir build/crt-s2n --output-on-failure --no-tests=error -R _s2n
	rm -f $(STAMPS)/inplace-core
	cd packages/awscrt-core && S2N_ROOT=$(S2N_ROOT) $(PY) setup.py -q build_ext --inplace --force
	AWS_CRT_TLS=s2n $(PY) -m pytest -q tests/core/test_tls_options.py tests/core/test_tls_matrix.py tests/core/test_tls_pem.py \
		tests/http/test_tls.py tests/http/test_proxy.py

.PHONY: test-packaging
test-packaging: $(STAMPS)/wheels $(STAMPS)/foreign-wheels
	$(PY) -m pytest -q tests/packaging tests/examples

.PHONY: test-python
test-python: dev
	$(PY) -m pytest -q tests --ignore tests/packaging --ignore tests/examples

.PHONY: test-interpreters
test-interpreters: $(STAMPS)/wheels
	$(PY) tools/test_interpreters.py --wheels dist --cache $(CACHE)/interpreters --summary $(SUMMARY)

# One step after the other, each with its own line in the summary; the first failure ends the run.
.PHONY: test
test: dev
	@rm -f $(SUMMARY)
	@for step in lint docs test-c wheels test-packaging test-python test-interpreters; do \
		echo "== $$step" && begun=$$(date +%s) && \
		$(MAKE) --no-print-directory $$step </dev/null || { echo "$$step: FAILED" >>$(SUMMARY); cat $(SUMMARY); exit 1; }; \
		echo "$$step: ok, $$(( $$(date +%s) - begun )) s" >>$(SUMMARY); \
	done
	@echo "== summary" && cat $(SUMMARY)

.PHONY: fuzz
fuzz:
	@tools/bootstrap.sh fuzz
	cd crt && cmake --preset fuzz >/dev/null
	cd crt && cmake --build --preset fuzz -j$(JOBS) -- --no-print-directory -s
	@set -e; for target in $$(find build/crt-fuzz -maxdepth 1 -name 'fuzz_*' -type f -perm -u+x); do \
		corpus=$(CACHE)/corpus/$$(basename $$target); mkdir -p $$corpus; \
		echo "== $$(basename $$target)"; \
		$$target -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0 $$corpus crt/fuzz/seeds/$$(basename $$target); \
	done

.PHONY: clean
clean:
	rm -rf $(VENV) $(CACHE) build dist docs/_build
	find packages examples -name build -type d -prune -exec rm -rf {} +
	find packages examples \( -name '*.egg-info' -o -name __pycache__ \) -prune -exec rm -rf {} +
	find packages examples -name '*.so' -type f -delete
