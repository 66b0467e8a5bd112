package deep_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/peatlog/peat/internal/deep"
)

type entity struct {
	ID    string
	N     int
	Notes []string
}

type many struct {
	ByID map[string]*entity
	List []entity
}

func thousand() *many {
	m := &many{ByID: map[string]*entity{}}
	for i := range 500 {
		id := fmt.Sprint("entity-", i)
		m.ByID[id] = &entity{ID: id, N: i, Notes: []string{"a"}}
		m.List = append(m.List, entity{ID: id, N: i, Notes: []string{"b"}})
	}
	return m
}

// An aggregate of 1,000 entities.
func BenchmarkCopy(b *testing.B) {
	m := thousand()
	c, err := deep.New(reflect.TypeFor[*many]())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var to *many
		if err := c.Copy(reflect.ValueOf(&to), reflect.ValueOf(&m)); err != nil {
			b.Fatal(err)
		}
	}
}
