package main

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	sql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
)

const watermillTopic = "bench"

// openWatermill opens watermill's publisher and subscribers. It has no streams and no
// expected versions: an append is a publication in the order that its caller keeps.
func openWatermill(ctx context.Context, dsn, schema string) (*library, error) {
	pool, err := openPool(ctx, dsn, schema)
	if err != nil {
		return nil, err
	}
	w := &watermills{pool: pool, schema: sql.DefaultPostgreSQLSchema{SubscribeBatchSize: 1000}}
	w.publisher, err = sql.NewPublisher(sql.BeginnerFromPgx(pool), sql.PublisherConfig{SchemaAdapter: w.schema, AutoInitializeSchema: true}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	return &library{append: w.append, replay: w.replay, follow: w.follow, close: pool.Close}, nil
}

type watermills struct {
	pool      *pgxpool.Pool
	schema    sql.DefaultPostgreSQLSchema
	publisher *sql.Publisher
	versions  sync.Map // of streams
	published atomic.Int64
}

func (w *watermills) append(ctx context.Context, stream, n int) error {
	kept, _ := w.versions.LoadOrStore(stream, new(int64))
	version := kept.(*int64)
	messages := make([]*message.Message, n)
	for i := range messages {
		data, err := json.Marshal(payment(stream, *version+int64(i)+1))
		if err != nil {
			return err
		}
		messages[i] = message.NewMessage(watermill.NewUUID(), data)
		messages[i].SetContext(ctx)
	}
	if err := w.publisher.Publish(watermillTopic, messages...); err != nil {
		return err
	}
	*version += int64(n)
	w.published.Add(int64(n))
	return nil
}

// replay is a subscription of a consumer group of its own, until it has all messages or
// nothing more comes.
func (w *watermills) replay(ctx context.Context, handle func(paid)) error {
	want := w.published.Load()
	if want == 0 {
		return nil
	}
	all := make(chan struct{})
	var n atomic.Int64
	stop, err := w.follow(ctx, func(p paid) {
		handle(p)
		if n.Add(1) == want {
			close(all)
		}
	})
	if err != nil {
		return err
	}
	for before := int64(-1); before != n.Load(); {
		before = n.Load()
		select {
		case <-all:
			return stop()
		case <-time.After(quiet):
		}
	}
	return errors.Join(errors.New("nothing more comes"), stop())
}

func (w *watermills) follow(ctx context.Context, handle func(paid)) (func() error, error) {
	sub, err := sql.NewSubscriber(sql.BeginnerFromPgx(w.pool), sql.SubscriberConfig{
		ConsumerGroup: watermill.NewUUID(), PollInterval: pace, SchemaAdapter: w.schema, OffsetsAdapter: sql.DefaultPostgreSQLOffsetsAdapter{},
		InitializeSchema: true,
	}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	messages, err := sub.Subscribe(ctx, watermillTopic)
	if err != nil {
		return nil, errors.Join(err, sub.Close())
	}
	ended := make(chan error, 1)
	go func() {
		var failed error
		for m := range messages {
			var p paid
			if err := json.Unmarshal(m.Payload, &p); err != nil {
				failed = errors.Join(failed, err)
			}
			handle(p)
			m.Ack()
		}
		ended <- failed
	}()
	return func() error { return errors.Join(sub.Close(), <-ended) }, nil
}
