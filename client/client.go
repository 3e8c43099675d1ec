package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultServer is where a server listens that was not told otherwise.
const DefaultServer = "http://127.0.0.1:8080"

// maxAnswer bounds what is read of one answer.
const maxAnswer = 64 << 20

// Config says which server to call, and how. The zero Config calls DefaultServer without a key.
type Config struct {
	// Server is the URL of the server, without a path of the API. Defaults to DefaultServer.
	Server string
	// APIKey is sent as a bearer token. Defaults to none.
	APIKey string
	// UserAgent is sent with each request. Defaults to "streamlatch-client".
	UserAgent string
	// Timeout is how long one attempt at a call may take; event streams have IdleTimeout instead. Defaults to 1 minute.
	Timeout time.Duration
	// IdleTimeout is how long an event stream may be silent before it is opened anew. The server sends something every 15 seconds. Defaults to
	// 45 seconds.
	IdleTimeout time.Duration
	// Retry says how long to go on with calls that fail for a while.
	Retry Retry
	// Transport makes the requests. Defaults to one of its own, which goes by the environment's proxy settings.
	Transport http.RoundTripper
	// Sleep waits between attempts until the time is over or ctx ends, which is its error. Defaults to waiting by the clock.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Client calls one server. Safe for concurrent use.
type Client struct {
	base   string
	cfg    Config
	http   *http.Client
	jitter func() float64
}

// New makes a client. The error says what is wrong with Server or APIKey; nothing is sent yet.
func New(cfg Config) (*Client, error) {
	cfg.Server = cmp.Or(cfg.Server, DefaultServer)
	cfg.UserAgent = cmp.Or(cfg.UserAgent, "streamlatch-client")
	cfg.Timeout = cmp.Or(cfg.Timeout, time.Minute)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, 45*time.Second)
	cfg.Retry = cfg.Retry.withDefaults()
	if cfg.Transport == nil {
		cfg.Transport = newTransport()
	}
	if cfg.Sleep == nil {
		cfg.Sleep = sleep
	}
	u, err := url.Parse(cfg.Server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("server %q is not a URL such as %s", cfg.Server, DefaultServer)
	}
	if strings.ContainsFunc(cfg.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the API key holds characters that no key has")
	}
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{
		base: strings.TrimRight(cfg.Server, "/"), cfg: cfg, jitter: rand.Float64,
		http: &http.Client{Transport: cfg.Transport, CheckRedirect: refuse},
	}, nil
}

// Server is the URL that is called.
func (c *Client) Server() string { return c.base }

// Close closes the connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func newTransport() http.RoundTripper {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second, ForceAttemptHTTP2: true,
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// request is one call of the API.
type request struct {
	method string
	path   string // begins with "/"; parts that users name are escaped
	query  url.Values
	header http.Header
	body   []byte
	repeat repeat
	wait   time.Duration // how long the server is asked to wait, on top of the time of a call
}

// answer is what came back, with a status below 300.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do makes a call, again where that is safe and promises something, and returns an *Error for a status of 300 and more.
func (c *Client) do(ctx context.Context, r request) (answer, error) {
	attempt := c.cfg.Retry.begin(c)
	for {
		a, err := c.once(ctx, r)
		if err == nil || !attempt.again(ctx, r.repeat, err) {
			return a, err
		}
	}
}

func (c *Client) once(ctx context.Context, r request) (answer, error) {
	timeout := c.cfg.Timeout + r.wait
	limited, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	res, err := c.send(limited, r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }() // it has been read, or is of no interest any more
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return answer{}, c.unreachable(limited, err)
	}
	if len(body) > maxAnswer {
		return answer{}, fmt.Errorf("the answer of %s is larger than %d bytes", c.base, maxAnswer)
	}
	if res.StatusCode >= 300 {
		return answer{body: body}, newError(res, body)
	}
	return answer{res.StatusCode, res.Header, body}, nil
}

func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	maps.Copy(req.Header, r.header)
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	if c.cfg.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.APIKey)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return res, nil
}

// unreachable wraps an error of the connection. The URL that net/http puts in front of it is left out: it is long, and the server is named.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return &ConnectionError{Server: c.base, Err: err}
}

func (a answer) decode(v any) error {
	if err := json.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("the server's answer is not what this client knows: %w", err)
	}
	return nil
}

// getJSON makes a GET call and decodes the answer.
func (c *Client) getJSON(ctx context.Context, path string, query url.Values, v any) error {
	a, err := c.do(ctx, request{method: http.MethodGet, path: path, query: query, repeat: always})
	if err != nil {
		return err
	}
	return a.decode(v)
}
