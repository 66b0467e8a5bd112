package subscribe

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// slowStore is how long a call of the store may take before the log says so.
const slowStore = 3 * time.Second

// waiting has the log say that a call of the store takes long, unless stop is called
// before: a pool whose connections are all in use makes no error. stop may be called
// several times.
func waiting(ctx context.Context, log *slog.Logger, call string) (stop func()) {
	said := make(chan struct{})
	timer := time.AfterFunc(slowStore, func() {
		defer close(said)
		log.WarnContext(ctx, "still waiting for the store; are all connections of its pool in use?", "call", call, "waited", slowStore)
	})
	return sync.OnceFunc(func() {
		if !timer.Stop() {
			<-said
		}
	})
}
