package migrations_test

import (
	"errors"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/es/internal/migrations"
)

func files(texts map[string]string) fstest.MapFS {
	fs := fstest.MapFS{}
	for name, text := range texts {
		fs["m/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fs
}

func TestMissing(t *testing.T) {
	t.Parallel()
	known := migrations.Load(files(map[string]string{"0001_a.sql": "a", "0002_b.sql": "b", "0003_c.sql": "c"}), "m")
	if known[1].Version != 2 || known[1].Name != "0002_b" || known[1].Text != "b" {
		t.Errorf("second step %+v", known[1])
	}
	for n := range len(known) + 1 {
		missing, err := migrations.Missing(known[:n], known)
		if diff := cmp.Diff(known[n:], missing); err != nil || diff != "" {
			t.Errorf("with %d applied: error %v (-want +got):\n%s", n, err, diff)
		}
	}
	if _, err := migrations.Missing(known, known[:2]); !errors.Is(err, migrations.ErrSchemaNewer) {
		t.Errorf("got error %v, want ErrSchemaNewer", err)
	}
	edited := migrations.Load(files(map[string]string{"0001_a.sql": "a "}), "m")
	if _, err := migrations.Missing(edited, known); !errors.Is(err, migrations.ErrMigrationEdited) {
		t.Errorf("got error %v, want ErrMigrationEdited", err)
	}
	if _, err := migrations.Missing(known[1:], known); !errors.Is(err, migrations.ErrMigrationEdited) {
		t.Errorf("a hole in what was applied: got error %v, want ErrMigrationEdited", err)
	}
}

func TestLoadRefusesHolesInTheNumbers(t *testing.T) {
	t.Parallel()
	for name, texts := range map[string]map[string]string{
		"hole": {"0001_a.sql": "", "0003_c.sql": ""}, "twice": {"0001_a.sql": "", "0001_b.sql": ""},
		"no number": {"first.sql": ""}, "none": {},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			migrations.Load(files(texts), "m")
		}()
	}
}
