package web

import (
	"net/http"
	"strconv"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/service"
)

type operationsPage struct {
	frame
	Consumers []consumerPart
}

// consumerPart is a consumer with the events that it has set aside.
type consumerPart struct {
	service.ConsumerStatus
	Aside []es.Parked
}

func (s *server) operations(w http.ResponseWriter, r *http.Request) {
	s.showOperations(w, r, http.StatusOK, operationsPage{frame: s.newFrame(r, "Operations", "operations")})
}

func (s *server) showOperations(w http.ResponseWriter, r *http.Request, status int, p operationsPage) {
	all, err := s.bank.Status(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for _, c := range all {
		part := consumerPart{ConsumerStatus: c}
		if c.Parked > 0 {
			if part.Aside, err = s.bank.Parked(r.Context(), c.Name); err != nil {
				s.fail(w, r, err)
				return
			}
			part.Aside = part.Aside[:min(len(part.Aside), perPage)]
		}
		p.Consumers = append(p.Consumers, part)
	}
	s.render(w, r, status, "operations", p)
}

// operate does what a form on the operations page asks for.
func (s *server) operate(w http.ResponseWriter, r *http.Request) {
	ctx, consumer, name := r.Context(), r.PathValue("consumer"), r.PathValue("command")
	var err error
	switch name {
	case "rebuild":
		_, err = s.bank.Rebuild(ctx, consumer)
	case "cancel":
		err = s.bank.CancelRebuild(ctx, consumer)
	case "redrive":
		_, err = s.bank.Redrive(ctx, consumer, r.PostFormValue("account"))
	case "discard":
		var version int64
		if version, err = strconv.ParseInt(r.PostFormValue("version"), 10, 64); err != nil {
			err = es.ErrNotParked // there is no such version
			break
		}
		err = s.bank.Discard(ctx, consumer, r.PostFormValue("account"), version, "clerk", r.PostFormValue("reason"))
	default:
		s.notFound(w, r)
		return
	}
	if err == nil {
		to(w, r, "/operations", name, service.Receipt{})
		return
	}
	status, problem := s.explain(ctx, err)
	p := operationsPage{frame: s.newFrame(r, "Operations", "operations")}
	p.Problem = problem
	s.showOperations(w, r, status, p)
}
