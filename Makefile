# Everything builds with --release: `cargo run --release -- demo` and `make test` share one build.

CARGO ?= cargo
CARGO_DENY_VERSION := 0.20.2
# cargo-deny from PATH when there is one, else our own copy below target/.
CARGO_DENY = $(or $(shell command -v cargo-deny 2>/dev/null),$(wildcard target/tools/bin/cargo-deny))

CARGO_DEB_VERSION := 3.8.0

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help test tools fmt lint unit deny deny-if-installed bench soak packages cargo-deb

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile
	@echo "  cargo run --release -- demo   the exporter on a built-in sandbox: http://localhost:9847/"

test: tools fmt lint unit $(if $(filter true,$(CI)),deny,deny-if-installed) ## all checks: format, lints, unit, property and end-to-end tests, dependencies

tools: ## the programs the end-to-end tests run, and Cloudflare's own client; installs what is missing when it may
	@scripts/test-tools

fmt:
	$(CARGO) fmt --check

lint: ## clippy and rustdoc, warnings are errors
	$(CARGO) clippy --release --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --release --locked --no-deps --document-private-items --quiet

unit: ## unit, property and end-to-end tests, without the other checks
	$(CARGO) test --release --locked --no-fail-fast

deny: ## licences, bans and sources of the dependencies; builds cargo-deny once (some minutes) where it is missing
	$(if $(CARGO_DENY),,$(CARGO) install --locked --quiet --root target/tools --version $(CARGO_DENY_VERSION) cargo-deny)
	@$(MAKE) --no-print-directory deny-if-installed

deny-if-installed:
	$(if $(CARGO_DENY),$(CARGO_DENY) --locked --log-level error check licenses bans sources,@echo "cargo-deny is not installed: licences and sources were not checked; \`make deny\` builds it and does")

bench: ## benchmarks, beside the peers that are installed
	@scripts/test-tools bench
	$(CARGO) bench --locked --bench table

soak: ## half an hour of thousands of tunnels with churn, faults and reloads; its result goes to docs/BENCHMARKS.md
	$(CARGO) bench --locked --bench soak

packages: cargo-deb ## the Debian package, below target/debian
	$(CARGO) build --locked --profile dist
	scripts/deb dist

# Small work for it: what it does is done the same without optimization, and built in half the time.
cargo-deb:
	@test "$$(target/tools/bin/cargo-deb --version 2>/dev/null)" = $(CARGO_DEB_VERSION) || CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
		$(CARGO) install --locked --quiet --root target/tools --version $(CARGO_DEB_VERSION) cargo-deb
