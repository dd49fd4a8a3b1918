module github.com/go-pyexec/pyexec

go 1.25.0

require (
	github.com/go-python/cpy3 v0.2.0
	github.com/stretchr/testify v1.12.1
	github.com/urfave/cli/v3 v3.14.0
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect
