// Package e2e tests the bank as it is used: its pages in a real browser, its
// interface with bad input, and all of it under load.
package e2e
