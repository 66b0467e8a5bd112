# Everything CI runs is a target here; `make help` lists them.

GO            ?= go
GOLANGCI_LINT ?= $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK   ?= $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0
# The PostgreSQL versions beside the machine's own that the store is tested with.
POSTGRES      ?= 18
FUZZTIME      ?= 30s
# The flag that has go test find races; empty where there is no C compiler.
RACE          ?= -race

.PHONY: help check test test-default test-plain test-postgres lint fmt tidy vet vuln prop-deep fuzz cover bench peers run

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check: tidy vet lint test vuln ## what CI runs

test: ## all tests with -race, the slow ones without, PostgreSQL's on the versions in POSTGRES too; installs what they need
	@GO='$(GO)' RACE='$(RACE)' sh internal/testenv/run.sh $(MAKE_COMMAND) --no-print-directory test-default test-plain test-postgres

test-default: ## all tests, on the machine's PostgreSQL or a downloaded one
	$(GO) test $(RACE) -timeout 20m ./...

test-plain: ## the tests that take minutes under the race detector, without it
	$(GO) test -timeout 20m ./examples/bank/ledger/...

test-postgres: ## the tests that use PostgreSQL, on each version in POSTGRES
	@if [ -n "$$PEAT_TEST_DATABASE_URL" ]; then \
		echo "PEAT_TEST_DATABASE_URL is set: PostgreSQL $(POSTGRES) is not tested"; \
	else for v in $(POSTGRES); do \
		echo "PEAT_TEST_POSTGRES=$$v"; \
		PEAT_TEST_POSTGRES=$$v $(GO) test $(RACE) -timeout 20m ./es/postgres/... ./aggregate/... ./subscribe/... ./proptest/... ./examples/bank/account/... || exit 1; \
	done; fi

lint: ## golangci-lint, with the explicit list of .golangci.yml
	$(GOLANGCI_LINT) run ./...

fmt: ## format the code
	$(GOLANGCI_LINT) fmt ./...

tidy: ## fail if a go.mod or go.sum is not tidy
	$(GO) mod tidy -diff
	cd bench/peers && $(GO) mod tidy -diff

vet: ## go vet
	$(GO) vet ./...

vuln: ## known vulnerabilities, where the database can be reached
	@out=$$($(GOVULNCHECK) ./... 2>&1); status=$$?; echo "$$out"; \
	if [ $$status -ne 0 ] && echo "$$out" | grep -q 'fetching vulnerabilities'; then \
		echo "vuln: NOT CHECKED, the vulnerability database cannot be reached"; \
	else exit $$status; fi

prop-deep: ## 10,000 scripts on PostgreSQL and on the simulated log, 50,000 on the latter alone
	$(GO) test -timeout 2h -run 'TestDifferential$$' ./proptest -rapid.checks=5000
	$(GO) test -timeout 1h -run 'TestMachine$$' ./proptest -rapid.checks=50000

fuzz: ## run each fuzz target for FUZZTIME
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

cover: ## test coverage per package
	$(GO) test -coverpkg=./es/...,./codec/...,./aggregate/... -coverprofile=cover.out ./... && $(GO) tool cover -func=cover.out | tail -1

bench: ## all benchmarks, quickly: to see that they work, not to quote
	$(GO) run ./bench --quick

peers: ## the same for the other libraries, which it downloads; with its tests
	cd bench/peers && $(GO) vet ./... && $(GO) test ./... && $(GO) run . --quick

run: ## the example bank on the shipped ledger
	$(GO) run ./examples/bank
