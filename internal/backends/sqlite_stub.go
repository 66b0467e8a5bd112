package backends

import (
	"testing"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
)

type stub struct{ Store es.Store }

func (stub) Backend() estest.Backend { return estest.Backend{} }

func NewSQLite(t testing.TB) stub { t.Fatal("wait"); return stub{} }
