# `cargo run --release -- demo` and `make test` share the build of the dependencies.

CARGO ?= cargo
# The crates of the workspace compile without optimization, everything else as in a release.
QUICK = --release --config scripts/test-profile.toml --locked --workspace
# End-to-end tests mostly wait for other programs, so that more of them run than there are cores.
export RUST_TEST_THREADS ?= $(shell expr 3 '*' $$(nproc))

CARGO_DENY_VERSION := 0.20.2
# cargo-deny from PATH if it is installed, otherwise the copy below target/.
CARGO_DENY = $(or $(shell command -v cargo-deny 2>/dev/null),$(wildcard target/tools/bin/cargo-deny))

CARGO_DEB_VERSION := 3.8.0
CARGO_CYCLONEDX_VERSION := 0.5.9
CARGO_MUTANTS_VERSION := 27.1.0

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help pictures test tools fmt lint voice unit tests test-packages deny deny-if-installed bench simulate soak fuzz mutants dist zig cargo-deb cargo-cyclonedx

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' Makefile
	@echo "  cargo run --release -- demo   the exporter on a built-in sandbox: http://localhost:9847/"

test: tools fmt lint tests $(if $(filter true,$(CI)),deny,deny-if-installed) ## all checks except test-packages: format, lints, unit, property and end-to-end tests, dependencies

tools: ## installs the programs that the end-to-end tests run, and their packages of PyPI and npm
	@scripts/test-tools

fmt:
	$(CARGO) fmt --all --check

lint: voice ## clippy, rustdoc and the check of the wording; warnings are errors
	$(CARGO) clippy $(QUICK) --all-targets -- -D warnings
	$(CARGO) clippy $(QUICK) --test packages -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc $(QUICK) --no-deps --document-private-items --quiet

voice:
	scripts/voice

unit: ## unit and property tests alone: seconds after a change
	$(CARGO) test $(QUICK) --no-fail-fast --lib --bins

tests: ## unit, property and end-to-end tests, without the other checks
	$(CARGO) test $(QUICK) --no-fail-fast

test-packages: ## tests of the artifacts, the image, Compose, Kubernetes and the chart (minutes; partly as root)
	@scripts/test-tools packages
	$(CARGO) test $(QUICK) --test packages

deny: ## licences, bans and sources of the dependencies; builds cargo-deny (minutes) if it is not installed
	$(if $(CARGO_DENY),,$(CARGO) install --locked --quiet --root target/tools --version $(CARGO_DENY_VERSION) cargo-deny)
	@$(MAKE) --no-print-directory deny-if-installed

deny-if-installed:
	$(if $(CARGO_DENY),$(CARGO_DENY) --locked --log-level error check licenses bans sources,@echo "cargo-deny is not installed: licences and sources were not checked; run \`make deny\` to build it and check them")

pictures: ## takes the pictures in docs/images again (13 minutes, as root)
	@scripts/test-tools pictures
	MTE_PICTURES=1 $(CARGO) test $(filter-out --workspace,$(QUICK)) --test e2e pictures

bench: ## benchmarks, compared with the peers that are installed
	@scripts/test-tools bench
	$(CARGO) bench --locked --bench table

simulate: ## hubs and agents with 10,000 random orders of cuts, delays, restarts and changes (minutes)
	SIMULATION_SEEDS=$${SIMULATION_SEEDS:-10000} $(CARGO) test $(filter-out --workspace,$(QUICK)) \
		--config profile.release.package.magic-tunnel-exporter.opt-level=1 --lib simulation -- --nocapture

soak: ## 30 minutes of thousands of tunnels with churn, faults and reloads; writes the result to docs/BENCHMARKS.md
	$(CARGO) bench --locked --bench soak

fuzz: ## fuzzes everything that reads bytes from outside, ten minutes each; needs a nightly compiler
	@scripts/fuzz

mutants: ## changes the code that decides in hundreds of ways, and lists those that no unit test notices (hours)
	@test -x "$$(command -v cargo-mutants)" || $(CARGO) install --locked --quiet --root target/tools --version $(CARGO_MUTANTS_VERSION) cargo-mutants
	PATH="$(CURDIR)/target/tools/bin:$$PATH" $(CARGO) mutants --timeout 120 --output target

dist: cargo-deb cargo-cyclonedx zig ## the artifacts of a release, below target/artifacts; TARGET=... for another platform
	scripts/dist $(TARGET)

zig:
	@scripts/venv zig

# Without optimization these tools build in half the time, and are fast enough.
INSTALL = CARGO_PROFILE_RELEASE_OPT_LEVEL=0 $(CARGO) install --locked --quiet --root target/tools
cargo-deb:
	@test "$$(target/tools/bin/cargo-deb --version 2>/dev/null)" = $(CARGO_DEB_VERSION) || \
		$(INSTALL) --version $(CARGO_DEB_VERSION) cargo-deb

cargo-cyclonedx:
	@test "$$(target/tools/bin/cargo-cyclonedx cyclonedx --version 2>/dev/null)" = "cargo-cyclonedx-cyclonedx $(CARGO_CYCLONEDX_VERSION)" || \
		$(INSTALL) --version $(CARGO_CYCLONEDX_VERSION) cargo-cyclonedx
