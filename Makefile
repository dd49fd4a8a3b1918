# `make` alone lists the targets. Those that build see to it first that what they need is there (scripts/deps.sh).

# Where Go's own instructions put it, in case the shell has not been told yet.
export PATH := $(PATH):/usr/local/go/bin

# go test ends a run that hangs, with all stacks; an embedded interpreter can hang for good.
TIMEOUT ?= 20m
# What else to pass to go test: make test TESTFLAGS='-run Reset -v'
TESTFLAGS ?=

# Which Pythons make matrix tests: versions that a suite of Debian has, and folders that one is installed in.
PYTHONS ?= 3.11 3.13 3.14 3.15

.PHONY: help run test test-cpy3 check matrix sanitize bench soak deps

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /make \1	/p' $(MAKEFILE_LIST) | expand -t 16

run: deps ## build and run the quickstart example
	go run ./examples/quickstart

test: ## run the tests
	@scripts/deps.sh test
	go test -timeout $(TIMEOUT) $(TESTFLAGS) ./...

test-cpy3: ## run the tests of package cpy3, for programs written with github.com/go-python/cpy3
	@scripts/deps.sh
	@scripts/cpy3.sh test -timeout $(TIMEOUT) $(TESTFLAGS) ./cpy3

check: ## what must pass before a change goes in: format, vet, staticcheck, C warnings, race, cgocheck, tidy
	@scripts/deps.sh check
	@TIMEOUT=$(TIMEOUT) scripts/check.sh

matrix: ## test every version of Python, each in the Debian that has it (as root; PYTHONS='3.13 /opt/python3.12')
	@TIMEOUT=$(TIMEOUT) TESTFLAGS="$(TESTFLAGS)" scripts/matrix.sh $(PYTHONS)

sanitize: ## run the tests with the kernel built with the address and undefined-behaviour sanitizers
	@scripts/deps.sh check
	@scripts/sanitize.sh -timeout 15m $(TESTFLAGS)

bench: deps ## run the benchmarks
	go test -run '^$$' -bench . -timeout 30m $(TESTFLAGS) .

soak: deps ## run the soak test: very many executions, and memory that must stay flat
	go run ./internal/soak
	go test -count=1 -timeout 60m -v -run TestSoak . -soak 200000

deps: ## install what is needed to build, where it is missing
	@scripts/deps.sh
