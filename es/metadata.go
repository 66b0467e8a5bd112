package es

import (
	"context"
	"maps"
)

// Metadata is what is known of an event beside the event: who caused it and
// what it belongs to. The zero value is none.
type Metadata struct {
	// CorrelationID ties together everything that follows from one request.
	CorrelationID string `json:"correlation_id,omitempty"`
	// CausationID is the id of the command or event that directly caused this one.
	CausationID string `json:"causation_id,omitempty"`
	// Actor is on whose behalf it happened.
	Actor string `json:"actor,omitempty"`
	// TraceParent is a W3C trace context, as in the header of that name.
	TraceParent string `json:"traceparent,omitempty"`
	// CommandFingerprint says what the command asked for that the event follows from; see
	// [WithCommand].
	CommandFingerprint string `json:"command_fingerprint,omitempty"`
	// Values holds whatever else the application wants to keep.
	Values map[string]string `json:"values,omitempty"`
}

// IsZero reports whether there is nothing in the metadata.
func (m Metadata) IsZero() bool {
	return m.CorrelationID == "" && m.CausationID == "" && m.Actor == "" && m.TraceParent == "" && m.CommandFingerprint == "" && len(m.Values) == 0
}

// Or returns m with each empty field taken from fallback. Of Values, the keys
// that m lacks are taken. Neither operand is changed.
func (m Metadata) Or(fallback Metadata) Metadata {
	or := func(s *string, fallback string) {
		if *s == "" {
			*s = fallback
		}
	}
	or(&m.CorrelationID, fallback.CorrelationID)
	or(&m.CausationID, fallback.CausationID)
	or(&m.Actor, fallback.Actor)
	or(&m.TraceParent, fallback.TraceParent)
	or(&m.CommandFingerprint, fallback.CommandFingerprint)
	switch {
	case len(m.Values) == 0:
		m.Values = fallback.Values
	case len(fallback.Values) > 0:
		merged := maps.Clone(fallback.Values)
		maps.Copy(merged, m.Values)
		m.Values = merged
	}
	return m
}

type metadataKey struct{}

// WithMetadata returns a context whose appends carry m. Fields that m leaves
// empty keep the values that ctx already carries.
func WithMetadata(ctx context.Context, m Metadata) context.Context {
	return context.WithValue(ctx, metadataKey{}, m.Or(MetadataFrom(ctx)))
}

// MetadataFrom returns the metadata that ctx carries, the zero value if none.
// Its Values must not be changed.
func MetadataFrom(ctx context.Context) Metadata {
	m, _ := ctx.Value(metadataKey{}).(Metadata)
	return m
}
