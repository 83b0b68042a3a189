# Everything that is done to Weir, by name. `make` alone lists it.

CARGO ?= cargo
PORT ?= 8080

# Filters that tests load from files: hostile guests, and the examples'.
GUESTS = $(dir $(wildcard tests/guests/*/Cargo.toml examples/filters/*/Cargo.toml))
EXAMPLES = $(wildcard examples/filters/*/Cargo.toml)
IN_FILTERS = --manifest-path filters/Cargo.toml

.DEFAULT_GOAL = help
.PHONY: help run test lint fmt filters guests peers build bench conformance ci clean tools

help: ## This list
	@echo "make TARGET"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A test target is named so that dependencies get the features that `make test` builds them with, and are built once.
run: filters ## Build, and run a gateway in front of two small servers on 127.0.0.1:8080 (PORT=8081 for another port)
	$(CARGO) build --locked -p weir --bin weir --test floors
	@exec $${CARGO_TARGET_DIR:-target}/debug/weir demo --port $(PORT)

test: filters guests peers ## All tests: units, the floors, suites over the real binary, and the filters' own
	@status=0; \
	$(CARGO) test --locked --no-fail-fast --workspace || status=1; \
	$(CARGO) test --locked --no-fail-fast $(IN_FILTERS) --workspace || status=1; \
	for example in $(EXAMPLES); do $(CARGO) test --locked --manifest-path $$example || status=1; done; \
	exit $$status

lint: tools ## Formatting and clippy, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) fmt $(IN_FILTERS) --all --check
	set -e; for example in $(EXAMPLES); do $(CARGO) fmt --manifest-path $$example --check; done
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked $(IN_FILTERS) --workspace --all-targets -- -D warnings
	set -e; for example in $(EXAMPLES); do \
		$(CARGO) clippy --locked --manifest-path $$example --all-targets -- -D warnings; done

fmt: ## Format everything
	$(CARGO) fmt --all
	$(CARGO) fmt $(IN_FILTERS) --all
	set -e; for example in $(EXAMPLES); do $(CARGO) fmt --manifest-path $$example; done

filters: tools ## The standard filters as Wasm, in filters/out (installs what compiles to wasm32 if it can)
	filters/build.sh

guests: filters
	filters/build.sh $(GUESTS)

build: filters ## The optimised program with the standard filters inside: target/release/weir (takes minutes)
	$(CARGO) build --locked --release -p weir

bench: build ## CPU time of what the gateway does beside nginx, HAProxy and Varnish
	tests/bench/run

conformance: ## http-tests/cache-tests against the optimised program (CACHE_TESTS=path of a checkout, RESULTS=file to keep)
	@tests/conformance.sh --look "$(CACHE_TESTS)"
	$(MAKE) build
	tests/conformance.sh "$(CACHE_TESTS)" $(RESULTS)

ci: ## What every change has to pass, as .ci/run does it
	.ci/run

clean: ## Remove what was built
	rm -rf filters/out filters/target $(addsuffix target,$(dir $(EXAMPLES)))
	$(CARGO) clean

tools:
	@tests/setup.sh

peers: tools
	@tests/peers.sh
