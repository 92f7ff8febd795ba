# The lines after ## are what `make help` prints.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
BIN := .venv/bin

# What the recipes of docs/verifying.md need; the first line is for those that `make test` runs too.
RECIPES := curl:curl nodejs:node npm:npm golang-go:go golang-github-golang-jwt-jwt-dev nginx:nginx
ALL_RECIPES := $(RECIPES) socat:socat ruby ruby-jwt libcrypt-jwt-perl php-cli php-firebase-php-jwt? \
	apache2 libapache2-mod-auth-openidc haproxy:haproxy caddy:caddy
# What the clients of other systems need, which `make dialects` runs.
CLIENTS := curl:curl nodejs:node golang-go:go golang-github-hashicorp-go-tfe-dev
# The browser that looks at the console.
BROWSER := chromium:chromium
# What the generators of clients need.
GENERATORS := default-jre-headless:java nodejs:node npm:npm golang-go:go golang-gopkg-validator.v2-dev
NODE_MODULES := tests/interop/node_modules

# What packages are made with, and what their tests need.
PACKAGING := dpkg-dev git xz-utils python3
PACKAGE_TESTS := $(PACKAGING) debootstrap lintian
TOOLS := target/tools/bin/cargo-deb target/tools/bin/cargo-cyclonedx

.PHONY: run demo test dialects interop browser screenshots monitoring generators deb release reproducible package-test image-test crates \
	check bench ci-extra cluster patroni hostile fuzz soak openapi schema help python

run: ## Build and serve on 127.0.0.1:8080, with a database and keys in this folder
	@echo 'Building jeton. The first time takes three to five minutes on two cores.'
	exec cargo run --profile quick --locked -- serve

demo: ## Run an authority and a service, revoke a token, and see how fast the service refuses it
	@echo 'Building. The first time takes a few minutes.'
	@cargo build --quiet --profile quick --locked --package jeton --bin jeton \
		--package jeton-verifier --features jeton-verifier/axum --example service
	@verifier/examples/demo target/quick/jeton target/quick/examples/service

ifeq ($(DATABASE),postgres)
# The tests of all APIs, with the store in databases of PostgreSQL clusters of their own; also those with clients in Python.
test: .venv/installed
	tests/postgresql
	tests/interop/debian $(CLIENTS)
	cargo test --locked -p jeton-store-postgres
	DATABASE=postgres cargo test --locked --test suite -- api::
	cargo build --locked
	DATABASE=postgres $(BIN)/pytest tests/dialects tests/python/test_schemathesis.py tests/python/test_pyjwt.py \
		tests/python/test_published_list.py
else
test: .venv/installed ## Install what the tests need, and run all of them but most of interop; SEED=NUMBER varies requests, DATABASE=postgres runs those of the APIs on PostgreSQL
	tests/interop/debian $(RECIPES) $(CLIENTS) $(BROWSER)
	tests/postgresql
	$(MAKE) $(NODE_MODULES)/installed
	cargo test --workspace --locked --features jeton-verifier/axum
	cargo build --locked
	$(BIN)/pytest -m 'not interop' tests/python tests/dialects tests/interop tests/browser
endif

dialects: .venv/installed ## Install the clients of the other systems, and run them against a server
	tests/interop/debian $(CLIENTS)
	cargo build --locked
	$(BIN)/pytest tests/dialects

interop: .venv/interop ## Install every library and proxy of docs/verifying.md and docs/guard.md, and run its recipe
	tests/interop/debian $(ALL_RECIPES)
	$(MAKE) $(NODE_MODULES)/installed
	cargo build --locked --package jeton --package jeton-guard
	$(BIN)/pytest tests/interop

browser: .venv/installed ## Look at every page of the console with Debian's Chromium
	tests/interop/debian $(BROWSER) npm:npm
	$(MAKE) $(NODE_MODULES)/installed
	cargo build --locked
	$(BIN)/pytest tests/browser

screenshots: .venv/installed ## Take the pictures in docs/console
	tests/interop/debian $(BROWSER) pngquant:pngquant
	cargo build --locked
	SCREENSHOTS=docs/console $(BIN)/pytest tests/browser/test_screenshots.py
	pngquant --force --strip --ext .png 64 docs/console/*.png

monitoring: .venv/installed ## Check metrics, alerts and dashboard with Debian's Prometheus, against a server
	tests/interop/debian prometheus:promtool
	cargo build --locked
	$(BIN)/pytest tests/python/test_monitoring.py

# Run it when an OpenAPI document, tests/generators or a generator's version has changed.
generators: .venv/generators ## Lint the OpenAPI documents; generate, compile and use clients of them
	tests/interop/debian $(GENERATORS)
	$(MAKE) tests/generators/node_modules/installed
	cargo build --locked
	$(BIN)/pytest tests/generators

deb: target/tools/bin/cargo-deb ## Make the Debian packages, in target/debian
	tests/interop/debian $(PACKAGING)
	packaging/build release
	packaging/deb target/packaging/build release target/debian

release: $(TOOLS) ## Make the files of a release in dist/, from the last commit; SIGNING_KEY=FILE signs them
	tests/interop/debian $(PACKAGING)
	packaging/release dist

reproducible: $(TOOLS) ## Build the release in dist/ once more in another folder, and compare all files
	packaging/reproduce dist

package-test: .venv/installed target/tools/bin/cargo-deb ## Install, run, upgrade and purge the Debian packages in a fresh Debian; as root
	tests/interop/debian $(PACKAGE_TESTS) curl:curl openssl:openssl prometheus:prometheus
	cargo build --profile quick --locked --package jeton --package jeton-guard
	$(BIN)/pytest tests/packages/test_debian.py tests/packages/test_operating.py

image-test: .venv/installed ## Build the image of Dockerfile without a container engine, and run it; as root
	tests/interop/debian buildah
	cargo build --profile quick --locked --package jeton --package jeton-guard
	$(BIN)/pytest tests/packages/test_image.py

crates: ## Package all crates for a registry, and build them from the packages
	cargo package --workspace --locked

check: .venv/installed ## Format, lints, documentation, openapi.json and dependencies: everything but the tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --all-features --no-deps --document-private-items --locked
	cargo run --quiet --locked -- openapi | diff -u openapi.json - \
		|| { echo "openapi.json is not what the code says: run 'make openapi'" >&2; exit 1; }
	cargo fetch --quiet --locked
	$(BIN)/cargo-deny --offline --locked check bans licenses sources

bench: ## Measure all rows, with ROWS=issue,revoke some; AGAINST=COMMIT compares its processor time
	@arguments=(); \
	[ -z "$(ROWS)" ] || arguments+=("--rows=$(ROWS)"); \
	[ -z "$(AGAINST)" ] || arguments+=("--against=$$(benches/server-of "$(AGAINST)")"); \
	cargo build --release --locked -p jeton-guard; \
	cargo bench --locked --bench rates -- "$${arguments[@]}"

# The tests of the hostile suite are ignored by `make test`. EFFORT says how many of their cases run.
HOSTILE := cargo test --locked --test suite process::hostile -- --include-ignored --test-threads 1

# The tests of several servers on PostgreSQL that take long; each has its control in it or says what it is.
CLUSTER := cargo test --locked --test suite process::cluster -- --include-ignored --nocapture --test-threads 1

ci-extra: ## Run the hostile suite with the fewest cases, and the cluster suite, in five minutes each
	EFFORT=few $(HOSTILE) --skip soak
	tests/postgresql
	EFFORT=few $(CLUSTER)
	EFFORT=few cargo test --locked -p jeton-store-postgres --test cluster -- --ignored --nocapture --test-threads 1

hostile: SEED := $(or $(SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' '))
hostile: ## Run the hostile suite and the fuzz targets, in 20 minutes; SEED=NUMBER repeats a run, FULL=1 runs all cases
	@echo 'SEED=$(SEED)'
	SEED=$(SEED) EFFORT=$(if $(FULL),all,many) $(HOSTILE) --skip soak
	SEED=$(SEED) fuzz/run $(if $(FULL),300,20)

FUZZ_SECONDS ?= 60

fuzz: ## Fuzz the parsers, guided by coverage, for FUZZ_SECONDS each
	fuzz/run $(FUZZ_SECONDS)

cluster: ## Kill a primary of PostgreSQL under load, 20 times, with its control; cut servers off, fail over, race, rotate keys
	tests/postgresql
	EFFORT=all $(CLUSTER)
	EFFORT=all cargo test --locked -p jeton-store-postgres --test cluster -- --ignored --nocapture --test-threads 1

# What it installs goes into target/patroni, and everything else into namespaces that end with it.
patroni: .venv/installed ## Run docs/cluster.md on six machines in namespaces, and break them: failovers, upgrades, a recovery; as root
	tests/interop/debian iproute2:ip curl:curl
	cargo build --locked
	tests/patroni/run target/debug/jeton

soak: ## Rotate keys under load for a minute, and with kills; then ten minutes of mixed load: nothing may grow
	SOAK_SECONDS=60 cargo test --locked --test suite process::rotation -- --test-threads 1
	SOAK_SECONDS=600 cargo test --locked --test suite process::hostile::soak -- --include-ignored --nocapture

schema: .venv/installed ## Keep a database file and a deployment of a new schema version for the tests of upgrades
	cargo test --locked -p jeton-store-sqlite --test contract -- --ignored write_the_file
	cargo build --locked
	PYTHONPATH=tests $(BIN)/python tests/python/write_deployment.py

openapi: ## Write openapi.json from the code
	document=$$(cargo run --quiet --locked -- openapi); printf '%s\n' "$$document" > openapi.json

help: ## Print this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target does; do \
		printf '%-19s %s\n' "$$target" "$$does"; done

target/tools/bin/cargo-deb: VERSION := 3.8.0
target/tools/bin/cargo-cyclonedx: VERSION := 0.5.9
$(TOOLS):
	cargo install --quiet --locked --debug --version $(VERSION) --root target/tools $(notdir $@)

# The Python environment of the tests, created again when the list of packages changes.
.venv/installed: tests/requirements.txt | python
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

.venv/interop: tests/interop/requirements.txt .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement $< --constraint tests/requirements.txt
	touch $@

.venv/generators: tests/generators/requirements.txt .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement $< --constraint tests/requirements.txt
	touch $@

%/node_modules/installed: %/package-lock.json
	cd $* && npm ci --loglevel error --no-audit --no-fund
	touch $@

# Debian has Python's venv in a package of its own, and a small machine has neither.
python:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null && exit; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update --quiet && DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends python3 python3-venv; \
	else \
		echo 'The tests need Python 3.11 or newer with venv. On Debian: sudo apt-get install python3 python3-venv' >&2; \
		exit 1; \
	fi
