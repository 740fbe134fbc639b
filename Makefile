# fedbroker: `make` prints this help. ARGS goes to the demo, e.g. make demo ARGS=--once
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
FUZZ    ?= 60s
CRASH   ?= 200
CASES   ?= 10000

.DEFAULT_GOAL := help
.PHONY: help build demo test check lint race fuzz crash static properties interop gameday bench schema clean

help: ## print this help
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the static binary bin/fedbroker (CGO off)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/fedbroker ./cmd/fedbroker

demo: build ## two small IdPs and the broker on loopback; ARGS=--once walks through and ends
	./bin/fedbroker demo $(ARGS)

test: ## every test, without the race detector
	$(GO) test ./...

check: lint race static crash fuzz properties ## what CI runs beside test: lint, race, static binary, crash, fuzz and property runs

lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l broker cmd examples mappers store upstreams)" || { gofmt -l broker cmd examples mappers store upstreams; echo "gofmt: the files above want formatting"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags interop,gameday ./cmd/...
	$(GO) tool staticcheck ./...

race: ## every test under the race detector
	$(GO) test -race ./...

static: build ## the binary is static, so that FROM scratch holds it
	@if command -v file >/dev/null; then file bin/fedbroker | grep -q 'statically linked'; else ! ldd bin/fedbroker >/dev/null 2>&1; fi || { echo "bin/fedbroker is not static"; exit 1; }
	@echo "bin/fedbroker is static"

crash: ## SIGKILL at random points: CRASH=200 runs, engine and journal, seed printed
	FEDBROKER_CRASH_RUNS=$(CRASH) $(GO) test -count=1 -run 'Crash' -v ./store/... | grep -vE '^(=== |\?)'

fuzz: ## each fuzzer for FUZZ=60s in all packages that have one
	@GO='$(GO)' FUZZ='$(FUZZ)' .ci/fuzz

properties: ## CASES=10000 random policies, requests and chains: authority never grows
	RAPID_CHECKS=$(CASES) RAPID_SEED=0 $(GO) test -count=1 -timeout 30m -run '^TestProperty_' ./broker/policy

interop: build ## real IdPs and real clients that no one here wrote
	.ci/interop/run

gameday: ## a minute of rotations, withdrawals, an outage, two crashes and 100,000 forged tokens (not in CI)
	$(GO) test -tags gameday -count=1 -timeout 3m -run '^TestGameDay$$' -v ./cmd/fedbroker

bench: build ## ratios of bare crypto to whole, memory, start-up (not in CI); docs/PERFORMANCE.md
	@GO='$(GO)' .ci/bench

schema: ## write the schemas of the configuration in docs/ anew
	$(GO) run ./cmd/fedbroker config schema > docs/fedbroker.schema.json.new && mv docs/fedbroker.schema.json.new docs/fedbroker.schema.json
	$(GO) run ./cmd/fedbroker config schema --fragment > docs/fedbroker.fragment.schema.json.new && mv docs/fedbroker.fragment.schema.json.new docs/fedbroker.fragment.schema.json

clean: ## remove what builds leave behind
	rm -rf bin .ci/interop/work .ci/interop/node_modules
