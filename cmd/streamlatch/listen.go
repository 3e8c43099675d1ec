package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/internal/hostile"
	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/webhook"
)

// defaultListen is where listen listens that was not told otherwise.
const defaultListen = "127.0.0.1:9000"

// maxWebhook is the largest webhook that listen reads.
const maxWebhook = 64 << 20

// listenOptions are the flags of listen.
type listenOptions struct {
	address string
	secrets []string
	status  int
	delay   time.Duration
	limit   int
	output  outputFormat

	misbehave string
}

func (p *process) listenCommand() *cobra.Command {
	var o listenOptions
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Receive webhooks, verify their signatures and print them",
		Long: `Receive webhooks on any path, verify their signatures (Standard Webhooks) and print what arrives, until Ctrl-C. It is made for trying
things out. A webhook whose signature does not fit is printed too, and answered with 401.`,
		Example: "  streamlatch listen --secret whsec_…",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.listen(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.address, "listen", defaultListen, "address to listen on")
	f.StringArrayVar(&o.secrets, "secret", nil, "secret that signatures are verified with (can be repeated; default: nothing is verified)")
	f.IntVar(&o.status, "status", http.StatusOK, "status to answer with")
	f.DurationVar(&o.delay, "delay", 0, "time to wait before the answer")
	f.IntVarP(&o.limit, "limit", "n", 0, "end after this many webhooks (default never)")
	f.StringVar(&o.misbehave, "misbehave", "", "answer as a bad endpoint does: "+kindsOfMisbehaviour())
	addOutputFlag(cmd, &o.output)
	return cmd
}

func kindsOfMisbehaviour() string {
	var kinds []string
	for _, k := range hostile.Kinds() {
		kinds = append(kinds, string(k))
	}
	return strings.Join(kinds, ", ")
}

func (p *process) listen(ctx context.Context, o listenOptions) error {
	r := &receiver{process: p, options: o, enough: make(chan struct{})}
	for _, text := range o.secrets {
		secret, err := webhook.ParseSecret(text)
		if err != nil {
			return usagef("--secret %w", err)
		}
		r.verifier.Secrets = append(r.verifier.Secrets, secret)
	}
	if o.status < 200 || o.status > 599 || o.delay < 0 {
		return usagef("--status must be from 200 to 599, and --delay not negative")
	}
	scheme := "http"
	if o.misbehave != "" {
		bad, err := hostile.New(hostile.Kind(o.misbehave), hostile.Config{})
		if err != nil {
			return usagef("--misbehave %w", err)
		}
		r.bad, scheme = bad, bad.Scheme()
	}
	listener, err := net.Listen("tcp", o.address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	verified := "signatures are verified"
	if len(o.secrets) == 0 {
		verified = "signatures are not verified: there is no --secret"
	}
	fmt.Fprintf(p.stderr, "streamlatch: waiting for webhooks at %s://%s/ (%s)\n", scheme, listener.Addr(), verified)
	return r.serve(ctx, listener)
}

// receiver answers webhooks and prints them.
type receiver struct {
	process  *process
	options  listenOptions
	verifier webhook.Verifier
	bad      *hostile.Endpoint // that answers in its own way; nil: there is none
	enough   chan struct{}     // closed when as many have come as should

	mu     sync.Mutex // guards what follows, and the output
	seen   int
	failed error // to print
}

// serve answers until ctx ends or enough webhooks have come, and then finishes those under way.
func (r *receiver) serve(ctx context.Context, listener net.Listener) error {
	if r.bad != nil {
		defer r.bad.Close()
		bad, err := r.bad.Listener(listener)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		listener = bad
	}
	unused := &unusedConns{conns: map[net.Conn]bool{}}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second, ConnState: unused.note, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("listen: %w", err)
	case <-ctx.Done():
	case <-r.enough:
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.options.delay+5*time.Second)
	defer cancel()
	unused.close()
	if r.bad != nil {
		r.bad.Close()
	}
	err := server.Shutdown(grace)
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(err, r.failed)
}

// unusedConns are connections on which nothing has come yet. Clients open some in advance, and a server that shuts down waits 5 s for each.
type unusedConns struct {
	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
}

// note is a server's ConnState.
func (u *unusedConns) note(c net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(u.conns, c)
	case u.closed:
		_ = c.Close() // nobody waits for what becomes of it
	default:
		u.conns[c] = true
	}
}

func (u *unusedConns) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for c := range u.conns {
		_ = c.Close() // nobody waits for what becomes of it
	}
}

// received is a webhook as it is printed.
type received struct {
	At       time.Time       `json:"at"`
	Path     string          `json:"path"`
	Delivery string          `json:"delivery"` // webhook-id
	Verified string          `json:"verified"` // "yes", "not checked", or why not
	Event    json.RawMessage `json:"event,omitempty"`
	Body     string          `json:"body,omitempty"` // what is no event
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		http.Error(w, "webhooks are sent with POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxWebhook))
	if err != nil {
		http.Error(w, "the body can't be read", http.StatusBadRequest)
		return
	}
	got := received{At: r.process.now().UTC(), Path: req.URL.Path, Delivery: req.Header.Get(webhook.HeaderID), Verified: "yes"}
	status := r.options.status
	if len(r.verifier.Secrets) == 0 {
		got.Verified = "not checked"
	} else if err := r.verifier.Verify(req.Header, body, r.process.now()); err != nil {
		got.Verified, status = err.Error(), http.StatusUnauthorized
	}
	decoder := cloudevents.Decoder{Limits: cloudevents.Limits{MaxEventBytes: maxWebhook, MaxBatchBytes: maxWebhook}}
	if events, err := decoder.Decode(req.Header.Get("Content-Type"), req.Header, body); err == nil && len(events) == 1 {
		got.Event = cloudevents.AppendStructured(nil, events[0])
	} else {
		got.Body = string(body)
	}
	if last := r.print(got); last {
		defer close(r.enough)
	}
	if r.options.delay > 0 {
		_ = r.process.pause(req.Context(), r.options.delay) // the sender went away: then nobody waits
	}
	if r.bad != nil && status != http.StatusUnauthorized {
		r.bad.Answer(w, req)
		return
	}
	w.WriteHeader(status)
}

// print prints a webhook, and tells whether it is the last one.
func (r *receiver) print(got received) (last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.write(got)
	if r.failed == nil {
		r.failed = err
	}
	r.seen++
	return r.seen == r.options.limit
}

func (r *receiver) write(got received) error {
	if r.options.output == jsonOutput {
		return writeJSONLine(r.process.stdout, got)
	}
	verified := map[string]string{"yes": "verified", "not checked": "not-checked"}[got.Verified]
	if verified == "" {
		verified = "NOT VERIFIED (" + got.Verified + ")"
	}
	what := eventLine(got.Event)
	if got.Event == nil {
		what = short(got.Body, dataWidth)
	}
	return write(r.process.stdout, fmt.Sprintf("%s %s %s %s %s\n", router.FormatTime(got.At), verified, plain(got.Path), plain(got.Delivery), what))
}
