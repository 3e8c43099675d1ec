package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/webhook"
)

const (
	listenSecret = "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0LCAzMiBieXRlcyE="
	otherSecret  = "whsec_YW5vdGhlciBzZWNyZXQsIG9mIDMyIGJ5dGVzISE="
)

// startListen starts listen on a free port, and ends it with the test at the latest; wait returns what it printed and its exit code.
func startListen(t testing.TB, args ...string) (url string, p *process, wait func() (string, int)) {
	t.Helper()
	p, stdout, stderr := testProcess()
	ctx, cancel := context.WithCancelCause(context.Background())
	ended, over := make(chan int, 1), make(chan struct{})
	go func() {
		defer close(over)
		ended <- p.run(ctx, append([]string{"listen", "--listen", "127.0.0.1:0"}, args...))
	}()
	t.Cleanup(func() { // none is left to catch the signals of another test
		cancel(errInterrupted)
		<-over
	})
	said := stderr.await(t, "waiting for webhooks at ")
	_, rest, _ := strings.Cut(said, "waiting for webhooks at ")
	url, _, _ = strings.Cut(rest, " ")
	return url, p, func() (string, int) { code := <-ended; return stdout.String(), code }
}

// deliver sends a webhook as the server does, and returns the status.
func deliver(t testing.TB, url, secret, id string, at time.Time, header http.Header, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header = header.Clone()
	parsed, err := webhook.ParseSecret(secret)
	require.NoError(t, err)
	req.Header.Set(webhook.HeaderID, id)
	req.Header.Set(webhook.HeaderTimestamp, itoa(at.Unix()))
	req.Header.Set(webhook.HeaderSignature, webhook.Sign([]webhook.Secret{parsed}, id, at, []byte(body)))
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

func structured() http.Header { return http.Header{"Content-Type": {"application/cloudevents+json"}} }

const anEvent = `{"specversion":"1.0","id":"a1","source":"/shop","type":"order.paid","data":{"total":12}}`

func TestListenVerifiesAndPrintsWhatArrives(t *testing.T) {
	url, p, wait := startListen(t, "--secret", otherSecret, "--secret", listenSecret, "-n", "6")
	binary := http.Header{"Content-Type": {"text/plain"}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"b1"}, "Ce-Source": {"/shop"}, "Ce-Type": {"order.left"}}
	require.Equal(t, 200, deliver(t, url+"hook", listenSecret, "dlv_1", p.now(), structured(), anEvent))
	require.Equal(t, 200, deliver(t, url, otherSecret, "dlv_2", p.now(), binary, "hello"))
	require.Equal(t, 401, deliver(t, url, "whsec_bm9ib2R5IGtub3dzIHRoaXMgc2VjcmV0LCAzMiBi", "dlv_3", p.now(), structured(), anEvent))
	require.Equal(t, 401, deliver(t, url, listenSecret, "dlv_4", p.now().Add(-time.Hour), structured(), anEvent))
	require.Equal(t, 401, deliver(t, url, listenSecret, "dlv.5", p.now(), structured(), anEvent))
	require.Equal(t, 200, deliver(t, url, listenSecret, "dlv_6", p.now(), http.Header{}, "no event \x1b[31m at all"))
	stdout, code := wait()
	require.Equal(t, exitDone, code)
	require.Equal(t, `2024-11-20T18:41:00.000Z verified /hook dlv_1 order.paid /shop a1 {"total":12}
2024-11-20T18:41:00.000Z verified / dlv_2 order.left /shop b1 "hello"
2024-11-20T18:41:00.000Z NOT VERIFIED (no signature fits) / dlv_3 order.paid /shop a1 {"total":12}
2024-11-20T18:41:00.000Z NOT VERIFIED (the message's time is more than 5 minutes away from this clock) / dlv_4 order.paid /shop a1 {"total":12}
2024-11-20T18:41:00.000Z NOT VERIFIED (webhook-id, webhook-timestamp and webhook-signature must each be there once, and well-formed) / dlv.5 order.paid /shop a1 {"total":12}
2024-11-20T18:41:00.000Z verified / dlv_6 no event \x1b[31m at all
`, stdout)
}

func TestListenWithoutSecretSaysThatNothingIsChecked(t *testing.T) {
	url, p, wait := startListen(t, "-n", "1", "-o", "json")
	require.Equal(t, 200, deliver(t, url, listenSecret, "dlv_1", p.now(), structured(), anEvent))
	stdout, _ := wait()
	require.JSONEq(t, `{"at":"2024-11-20T18:41:00Z","path":"/","delivery":"dlv_1","verified":"not checked","event":`+anEvent+`}`, stdout)
}

func TestListenAnswersAsItIsTold(t *testing.T) {
	url, p, wait := startListen(t, "-n", "1", "--status", "503", "--delay", "2s")
	delays := make(chan time.Duration, 1)
	p.pause = func(_ context.Context, d time.Duration) error { delays <- d; return nil }
	require.Equal(t, 503, deliver(t, url, listenSecret, "dlv_1", p.now(), structured(), anEvent))
	wait()
	require.Equal(t, 2*time.Second, <-delays)
}

func TestListenDoesNotWaitForConnectionsOnWhichNothingComes(t *testing.T) {
	url, p, wait := startListen(t, "-n", "1")
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.Trim(strings.TrimPrefix(url, "http://"), "/"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	begin := time.Now()
	require.Equal(t, 200, deliver(t, url, listenSecret, "dlv_1", p.now(), structured(), anEvent))
	_, code := wait()
	require.Equal(t, exitDone, code)
	require.Less(t, time.Since(begin), 4*time.Second)
}

func TestListenTakesPostsOnly(t *testing.T) {
	url, p, wait := startListen(t, "-n", "1")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
	deliver(t, url, listenSecret, "dlv_1", p.now(), structured(), anEvent)
	wait()
}

func TestListenRefusesWhatItCannotDo(t *testing.T) {
	for want, args := range map[string][]string{
		"--secret is not padded standard base64": {"--secret", "whsec_?"},
		"--status must be from 200 to 599":       {"--status", "99"},
		"and --delay not negative":               {"--delay", "-1s"},
		`--misbehave "polite" is none of slow`:   {"--misbehave", "polite"},
	} {
		_, stderr, code := runCommand(t, nil, append([]string{"listen"}, args...)...)
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, want)
	}
	_, stderr, code := runCommand(t, nil, "listen", "--listen", "127.0.0.1:99999")
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "listen: ")
}

func TestListenMisbehavesOnDemandAndPrintsAllTheSame(t *testing.T) {
	url, p, wait := startListen(t, "-n", "3", "--misbehave", "flapping", "--secret", listenSecret)
	require.Equal(t, 401, deliver(t, url, otherSecret, "dlv_0", p.now(), structured(), anEvent), "what is not verified is refused as ever")
	require.Equal(t, 503, deliver(t, url, listenSecret, "dlv_1", p.now(), structured(), anEvent))
	require.Equal(t, 503, deliver(t, url, listenSecret, "dlv_1", p.now(), structured(), anEvent))
	stdout, code := wait()
	require.Equal(t, exitDone, code)
	require.Equal(t, 2, strings.Count(stdout, " verified / dlv_1 "))

	url, _, wait = startListen(t, "-n", "1", "--misbehave", "reset")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(anEvent))
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		require.NoError(t, res.Body.Close())
	}
	require.Error(t, err)
	stdout, _ = wait()
	require.Contains(t, stdout, "not-checked")

	url, _, _ = startListen(t, "-n", "1", "--misbehave", "wrong-tls")
	require.Contains(t, url, "https://")
}
