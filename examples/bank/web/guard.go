package web

import (
	"context"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

const (
	// maxBody is the largest body that is read.
	maxBody = 64 << 10
	// requestTime is how long a request may take, but for the stream of events.
	requestTime = 20 * time.Second
)

// policy lets a page load what is here, and nothing else; no other page may frame it.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guarded puts what all requests go through before the handlers.
func (s *server) guarded(next http.Handler, address net.Addr) http.Handler {
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the request comes from another site's page", http.StatusForbidden)
	}))
	next = s.recovered(limited(sameOrigin.Handler(next)))
	local := address != nil && isLoopback(address.String())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		// Another site's name may lead to this machine, and its pages would then be
		// of the same origin.
		if local && !isLoopback(r.Host) {
			http.Error(w, "this address is for the own machine", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback tells whether a host, with or without a port, is this machine.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// limited bounds the size of a request and the time for it.
func limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if r.URL.Path != eventsPath {
			ctx, cancel := context.WithTimeout(r.Context(), requestTime)
			defer cancel()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

// recovered answers a request whose handler panicked.
func (s *server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it, too
				panic(p)
			}
			s.log.ErrorContext(r.Context(), "a handler panicked", "panic", p, "stack", string(debug.Stack()))
			http.Error(w, "something went wrong inside", http.StatusInternalServerError)
		}()
		next.ServeHTTP(w, r)
	})
}

// cached lets browsers keep the files for a while.
func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		next.ServeHTTP(w, r)
	})
}
