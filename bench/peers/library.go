package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"
)

// connections is the size of every library's pool.
const connections = 64

// paid is the event of all libraries, about 100 bytes of JSON. Stream and Seq say which
// one it is, so that what is delivered can be checked.
type paid struct {
	Stream int    `json:"stream"`
	Seq    int64  `json:"seq"`
	Cents  int64  `json:"cents"`
	From   string `json:"from"`
	Note   string `json:"note"`
}

func payment(stream int, seq int64) paid {
	return paid{Stream: stream, Seq: seq, Cents: seq*100 + 7, From: "account-" + strconv.Itoa(stream), Note: "rent of the month, paid"}
}

// library is what a library does with events. What it has no way to do is nil.
type library struct {
	// append adds the next n events of a stream, all or none, expecting that nobody
	// else has written to it. A stream has one caller at a time.
	append func(ctx context.Context, stream, n int) error
	// load loads and folds a stream of this library that append has written, and
	// returns the sequence number of its last event.
	load func(ctx context.Context, stream int) (int64, error)
	// replay hands over the whole log.
	replay func(ctx context.Context, handle func(paid)) error
	// follow hands over what is appended from now on, until stop is called, which
	// returns what went wrong meanwhile.
	follow func(ctx context.Context, handle func(paid)) (stop func() error, err error)

	close func()
}

// contender is a library that takes part.
type contender struct {
	name string
	// open opens the library on an empty schema, which its connections find first.
	open func(ctx context.Context, dsn, schema string) (*library, error)
}

var contenders = []contender{
	{"peat", openPeat},
	{"hallgren", openHallgren},
	{"goes", openGoes},
	{"watermill-sql", openWatermill},
}

// inSchema returns the connection string with the schema as where names are looked for.
func inSchema(dsn, schema string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", fmt.Errorf("the DSN has to be a URL: %w", err)
	}
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// openPool returns a pool whose connections find the schema first. The caller closes it.
func openPool(ctx context.Context, dsn, schema string) (*pgxpool.Pool, error) {
	dsn, err := inSchema(dsn, schema)
	if err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = connections
	return pgxpool.NewWithConfig(ctx, config)
}
