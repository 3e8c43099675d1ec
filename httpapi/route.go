package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// call is one request, as handlers see it.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	caller *caller
	param  string // what the path has in the place of {ref}, {position} or {name}, or of {id} alone
	second string // and in the place of {id} or {key} behind them
}

// route is one operation of the API.
type route struct {
	method string
	path   string // as in openapi.yaml: "/v1/events/{position}"
	scope  Scope  // what the API key must permit, once there are keys
	handle func(call) error
	stream bool // lives as long as the client likes
	inlet  bool // for messages that show themselves who sent them: no API key is asked for, and they come from anywhere, to any name of this server
}

// routes lists every operation; openapi.yaml describes the same ones.
func (s *Server) routes() []route {
	return []route{
		{method: "POST", path: "/v1/events", scope: PublishScope, handle: s.publish},
		{method: "GET", path: "/v1/events", scope: ReadScope, handle: s.listEvents},
		{method: "GET", path: "/v1/events/stream", scope: ReadScope, handle: s.streamEvents, stream: true},
		{method: "GET", path: "/v1/events/{position}", scope: ReadScope, handle: s.showEvent},
		{method: "GET", path: "/v1/events/{position}/explain", scope: ReadScope, handle: s.explainEvent},

		{method: "POST", path: "/v1/subscriptions", scope: ManageScope, handle: s.subscriptions.post},
		{method: "GET", path: "/v1/subscriptions", scope: ReadScope, handle: s.subscriptions.getAll},
		{method: "GET", path: "/v1/subscriptions/{ref}", scope: ReadScope, handle: s.subscriptions.get},
		{method: "PUT", path: "/v1/subscriptions/{ref}", scope: ManageScope, handle: s.subscriptions.put},
		{method: "PATCH", path: "/v1/subscriptions/{ref}", scope: ManageScope, handle: s.subscriptions.patchNamed},
		{method: "DELETE", path: "/v1/subscriptions/{ref}", scope: ManageScope, handle: s.deleteSubscription},
		{method: "POST", path: "/v1/subscriptions/{ref}/rotate-secret", scope: ManageScope, handle: s.rotateSecret},
		{method: "POST", path: "/v1/subscriptions/{ref}/test", scope: ManageScope, handle: s.testSubscription},
		{method: "POST", path: "/v1/subscriptions/{ref}/pause", scope: ManageScope, handle: s.pauseSubscription},
		{method: "POST", path: "/v1/subscriptions/{ref}/resume", scope: ManageScope, handle: s.resumeSubscription},
		{method: "POST", path: "/v1/subscriptions/{ref}/pull", scope: ConsumeScope, handle: s.pull},
		{method: "POST", path: "/v1/subscriptions/{ref}/ack", scope: ConsumeScope, handle: s.ackPulled},
		{method: "POST", path: "/v1/subscriptions/{ref}/nack", scope: ConsumeScope, handle: s.nackPulled},
		{method: "POST", path: "/v1/subscriptions/{ref}/extend", scope: ConsumeScope, handle: s.extendPulled},

		{method: "POST", path: "/v1/triggers", scope: ManageScope, handle: s.triggers.post},
		{method: "GET", path: "/v1/triggers", scope: ReadScope, handle: s.triggers.getAll},
		{method: "GET", path: "/v1/triggers/{ref}", scope: ReadScope, handle: s.triggers.get},
		{method: "PUT", path: "/v1/triggers/{ref}", scope: ManageScope, handle: s.putTrigger},
		{method: "PATCH", path: "/v1/triggers/{ref}", scope: ManageScope, handle: s.triggers.patchNamed},
		{method: "DELETE", path: "/v1/triggers/{ref}", scope: ManageScope, handle: s.deleteTrigger},
		{method: "GET", path: "/v1/triggers/{ref}/partials", scope: ReadScope, handle: s.listPartials},
		{method: "POST", path: "/v1/triggers/{ref}/partials/drop", scope: ManageScope, handle: s.dropPartials},
		{method: "DELETE", path: "/v1/triggers/{ref}/partials/{id}", scope: ManageScope, handle: s.deletePartial},
		{method: "GET", path: "/v1/triggers/{ref}/firings", scope: ReadScope, handle: s.listFirings},
		{method: "POST", path: "/v1/triggers/dry-run", scope: ReadScope, handle: s.dryRunTrigger},
		{method: "POST", path: "/v1/triggers/backtest", scope: ReadScope, handle: s.backtestTrigger},

		{method: "POST", path: "/v1/sources", scope: ManageScope, handle: s.sources.post},
		{method: "GET", path: "/v1/sources", scope: ReadScope, handle: s.sources.getAll},
		{method: "GET", path: "/v1/sources/{ref}", scope: ReadScope, handle: s.sources.get},
		{method: "PUT", path: "/v1/sources/{ref}", scope: ManageScope, handle: s.sources.put},
		{method: "PATCH", path: "/v1/sources/{ref}", scope: ManageScope, handle: s.sources.patchNamed},
		{method: "DELETE", path: "/v1/sources/{ref}", scope: ManageScope, handle: s.deleteSource},
		{method: "POST", path: "/v1/sources/{ref}/test", scope: ManageScope, handle: s.testSource},

		{method: "POST", path: "/in/{name}", inlet: true, handle: s.receive},
		{method: "GET", path: "/in/{name}", inlet: true, handle: s.greet},
		{method: "OPTIONS", path: "/in/{name}", inlet: true, handle: s.agree},
		{method: "POST", path: "/in/{name}/{key}", inlet: true, handle: s.receive},
		{method: "GET", path: "/in/{name}/{key}", inlet: true, handle: s.greet},
		{method: "OPTIONS", path: "/in/{name}/{key}", inlet: true, handle: s.agree},

		{method: "GET", path: "/v1/deliveries", scope: ReadScope, handle: s.listDeliveries},
		{method: "GET", path: "/v1/deliveries/{id}", scope: ReadScope, handle: s.showDelivery},
		{method: "POST", path: "/v1/deliveries/{id}/retry", scope: ManageScope, handle: s.retryDelivery},

		{method: "GET", path: "/v1/dead-letters", scope: ReadScope, handle: s.listDeadLetters},

		{method: "GET", path: "/v1/status", scope: ReadScope, handle: s.showStatus},
		{method: "GET", path: "/healthz", scope: open, handle: s.showHealth},
		{method: "GET", path: "/readyz", scope: open, handle: s.showReadiness},
		{method: "GET", path: "/metrics", scope: ReadScope, handle: s.showMetrics},
		{method: "GET", path: "/openapi.json", scope: ReadScope, handle: s.showOpenAPI},
		{method: "GET", path: "/docs", scope: ReadScope, handle: s.showDocs},
		{method: "GET", path: "/docs/{file}", scope: ReadScope, handle: s.showDocs},
	}
}

// echoPath writes a path as echo does: "/v1/events/:position".
func echoPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// register makes echo serve the route. All that surrounds a handler is one function, made once, since echo builds its chain of middleware anew for
// each request.
func (s *Server) register(rt route) {
	m := s.metrics.route(rt.method, rt.path, !rt.stream)
	s.echo.Add(rt.method, echoPath(rt.path), func(c echo.Context) error {
		start := s.now()
		res, req := c.Response(), c.Request()
		s.begin(res.Header(), req)
		defer func() {
			took := s.now().Sub(start)
			m.observe(res.Status, took)
			s.logAccess(req, res, rt, took)
		}()
		defer func() { s.recovered(recover(), res, req) }()
		if err := s.serve(rt, c); err != nil {
			s.fail(res, req, err)
		}
		return nil
	})
}

func (s *Server) serve(rt route, c echo.Context) error {
	caller := s.anybody
	if !rt.inlet {
		var err error
		if caller, err = s.authenticate(c.Response(), c.Request(), rt.scope); err != nil {
			return err
		}
	}
	var params [2]string
	copy(params[:], c.ParamValues())
	return rt.handle(call{c.Response(), c.Request(), caller, params[0], params[1]})
}

// begin sets the headers that every answer has, among them the request's id, where the client sent one that is harmless.
func (s *Server) begin(h http.Header, r *http.Request) {
	h["X-Content-Type-Options"] = s.nosniff
	if id := r.Header.Get(requestIDHeader); id != "" && len(id) <= 64 && strings.IndexFunc(id, notIDRune) < 0 {
		h.Set(requestIDHeader, id)
	}
}

const requestIDHeader = "X-Request-Id"

// requestID is the id that the request has, or is given now, since it is needed.
func (s *Server) requestID(h http.Header) slog.Attr {
	if h.Get(requestIDHeader) == "" {
		h.Set(requestIDHeader, s.instance+strconv.FormatUint(s.requests.Add(1), 36))
	}
	return slog.String("request", h.Get(requestIDHeader))
}

func notIDRune(c rune) bool {
	return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' && c != '.'
}

// fail answers with an error. Where the answer has begun, nothing can be said any more; then the connection is cut, so that the client does
// not take what it has for the whole.
func (s *Server) fail(w *echo.Response, r *http.Request, err error) {
	if !w.Committed {
		s.writeProblem(w, r, err, nil)
		return
	}
	s.log.DebugContext(r.Context(), "answer cut off", s.requestID(w.Header()), slog.String("error", strconv.QuoteToASCII(err.Error())))
	panic(http.ErrAbortHandler)
}

// recovered answers for a handler that panicked. http.ErrAbortHandler is passed on: it is how a connection is cut.
func (s *Server) recovered(p any, w *echo.Response, r *http.Request) {
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	s.fail(w, r, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
}

func (s *Server) logAccess(r *http.Request, w *echo.Response, rt route, took time.Duration) {
	if !s.log.Enabled(r.Context(), slog.LevelDebug) {
		return
	}
	path := r.URL.Path
	if rt.inlet {
		path = rt.path // the key in it is a secret
	}
	s.log.DebugContext(r.Context(), "request", s.requestID(w.Header()), slog.String("method", r.Method), slog.String("route", rt.path),
		slog.String("path", strconv.QuoteToASCII(path)), slog.Int("status", w.Status), slog.Duration("took", took))
}
