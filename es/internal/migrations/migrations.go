// Package migrations knows the steps of a store's schema. It reads the files and
// compares; applying is the store's.
package migrations

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Errors of [Missing]. The stores export them under the same names.
var (
	// ErrSchemaNewer: the schema was migrated by a newer version of peat.
	ErrSchemaNewer = errors.New("schema newer than this program")
	// ErrMigrationEdited: a migration was applied whose text differs from the
	// one in this program.
	ErrMigrationEdited = errors.New("applied migration differs")
)

// Step is one step of the schema. Released steps are never edited; their
// checksums see to it.
type Step struct {
	Version        int
	Name, Checksum string
	Text           string // empty for a step that is only known to be applied
}

// Load returns the steps in a folder of files named 0001_name.sql, in order. It
// panics if they are not numbered from 1 without holes, because the files are
// part of the program.
func Load(files fs.FS, folder string) []Step {
	names, err := fs.Glob(files, folder+"/*.sql") // sorted
	if err != nil || len(names) == 0 {
		panic(fmt.Sprintf("migrations in %s: %d files, error %v", folder, len(names), err))
	}
	steps := make([]Step, 0, len(names))
	for _, file := range names {
		text, err := fs.ReadFile(files, file)
		if err != nil {
			panic(err)
		}
		name := strings.TrimSuffix(path.Base(file), ".sql")
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != len(steps)+1 {
			panic(fmt.Sprintf("migration %s is out of order", file))
		}
		sum := sha256.Sum256(text)
		steps = append(steps, Step{Version: version, Name: name, Checksum: hex.EncodeToString(sum[:]), Text: string(text)})
	}
	return steps
}

// Missing compares what was applied to a schema with what this program knows, and
// returns the steps that are still to be applied.
func Missing(applied, known []Step) ([]Step, error) {
	for i, a := range applied {
		switch {
		case i >= len(known):
			return nil, fmt.Errorf("%w: it has migration %s, this program knows %d; upgrade the program", ErrSchemaNewer, a.Name, len(known))
		case a.Version != known[i].Version || a.Checksum != known[i].Checksum:
			return nil, fmt.Errorf("%w: %s was applied with checksum %.12s, this program has %s with %.12s; restore the released file, changes go into a new migration",
				ErrMigrationEdited, a.Name, a.Checksum, known[i].Name, known[i].Checksum)
		}
	}
	return known[len(applied):], nil
}
