package main

import (
	"context"
	"fmt"
)

// projectSegments is projection-each by so many readers of one process, each with its
// part of the streams.
func projectSegments(segments int) func(ctx context.Context, b *bed) ([]result, error) {
	return func(ctx context.Context, b *bed) ([]result, error) {
		p := eachUpsert
		p.name, p.events, p.segments, p.least = fmt.Sprintf("segments-%d", segments), 50_000, segments, 0
		return p.run(ctx, b)
	}
}
