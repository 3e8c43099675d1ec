# `make` alone lists what there is to do. Needed are Go, make and gcc (for the race detector); what else a target uses, it
# installs: the linter into bin/, redis-server through the system's package manager. GOFLAGS is honoured throughout.

GO ?= go
# Arguments for the program that a target runs: make run ARGS="--listen 127.0.0.1:9090", make bench ARGS="-only match".
ARGS ?=
# More flags for go test: make test TESTFLAGS="-count=3".
TESTFLAGS ?=
# How long each fuzz test runs.
FUZZTIME ?= 60s
# Where programs are built to.
BIN ?= bin
# The version that the program says it is. Without it, what Go knows of the module.
VERSION ?=

GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(BIN)/golangci-lint-$(GOLANGCI_VERSION)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Print this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: build ## Build, and start streamlatch on an embedded, volatile Redis (ARGS="…" for flags)
	@$(BIN)/streamlatch dev $(ARGS)

.PHONY: build
build: ## Build bin/streamlatch, a static binary (VERSION="…" for the version it says it is)
	@CGO_ENABLED=0 $(GO) build -trimpath $(if $(VERSION),-ldflags "-X main.version=$(VERSION)") -o $(BIN)/streamlatch ./cmd/streamlatch

.PHONY: test
test: ## Run all tests, with the race detector (TESTFLAGS="…" for flags of go test)
	@.ci/redis
	$(GO) test -race -timeout 15m $(TESTFLAGS) ./...

.PHONY: lint
lint: $(GOLANGCI) ## Check style, arrows between packages, go.mod, Lua scripts and documents
	$(GOLANGCI) run --allow-parallel-runners
	$(GO) mod tidy -diff
	.ci/lua
	.ci/docs

.PHONY: check
check: lint test ## What CI runs: lint, then test

.PHONY: fuzz
fuzz: ## Run each fuzz test for FUZZTIME (default 60s)
	@GO="$(GO)" .ci/fuzz $(FUZZTIME)

.PHONY: chaos
chaos: ## Kill, pause and cut off at random, at length, and hold what is left against the model; takes half an hour
	@.ci/redis
	@GO="$(GO)" .ci/chaos

.PHONY: bench
bench: build ## Measure against bare references on this machine (ARGS="…" for flags); takes minutes
	@.ci/redis
	@$(GO) run ./cmd/streamlatch-bench -streamlatch $(BIN)/streamlatch $(ARGS)

.PHONY: clean
clean: ## Remove what was built, the linter included
	rm -rf $(BIN)

# The version is part of the name, so that another one is installed when it changes. From source this takes minutes, once.
$(GOLANGCI):
	@echo "installing golangci-lint $(GOLANGCI_VERSION) into $(BIN) (a few minutes, once)"
	@GOBIN="$(abspath $(BIN))" $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv $(BIN)/golangci-lint $@
