// Package testenv is how make test gets what the tests need beside Go: run.sh
// installs it, or has the tests run without it and says what was not run.
package testenv
