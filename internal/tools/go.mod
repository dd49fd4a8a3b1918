// The tools of `make check`, in a module of their own, so that a user's go.sum and module graph do not grow by them:
// the root go.mod lists only what a program that imports pyexec needs. A tool directive, not `go run tool@version`,
// because then go.sum pins the whole tree by checksum, not one version number by name.
//
// These tools may need a newer Go than pyexec itself does, another reason to keep the two apart.
//
// From the root: go tool -modfile=internal/tools/go.mod staticcheck ./...
module github.com/go-pyexec/pyexec/internal/tools

go 1.26.0

tool honnef.co/go/tools/cmd/staticcheck

require (
	github.com/BurntSushi/toml v1.4.1-0.20240526193622-a339e1f7089c // indirect
	golang.org/x/exp/typeparams v0.0.0-20231108232855-2478ac86f678 // indirect
	golang.org/x/mod v0.41.0 // indirect
	golang.org/x/sync v0.23.0 // indirect
	golang.org/x/tools v0.51.0 // indirect
	honnef.co/go/tools v0.8.2 // indirect
)
