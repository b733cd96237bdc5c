# Two targets matter: run starts everything, test proves it.
.PHONY: run test check lint bench deps screenshots

export CGO_ENABLED ?= 0

run:
	go run ./cmd/jumpa up

# What the tests need beyond Go, by package name only.
deps:
	./test/deps.sh

test: deps check
	go test -shuffle=on -timeout 30m ./...

check:
	@test -z "$$(gofmt -l .)" || (gofmt -l . && echo "gofmt the files above" && false)
	go vet ./...

# The linters of .golangci.yml.
lint:
	go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run ./...

bench:
	go test -run '^$$' -bench . -benchmem ./...

# The pictures of README, taken from a whole consultation.
screenshots:
	JUMPA_SCREENSHOTS=$(CURDIR)/docs/images go test -count=1 -run Individual ./test/e2e
