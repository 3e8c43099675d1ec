package main_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

// ask sends a request to a replica, and returns the status and the body.
func ask(t testing.TB, method, url string, header http.Header, body string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header = header
	res, err := direct.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, text
}

func inJSON() http.Header { return http.Header{"Content-Type": {"application/json"}} }

// shopifyHeader is what Shopify sends with a body, signed with a secret.
func shopifyHeader(secret, id, body string) http.Header {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, body)
	h := inJSON()
	h.Set("X-Shopify-Topic", "orders/create")
	h.Set("X-Shopify-Event-Id", id)
	h.Set("X-Shopify-Hmac-Sha256", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return h
}

// A source that was created at one replica takes messages at another one at once; a redelivery is stored once, whichever replica takes it and whatever its bytes
// are; what was not verified is not stored; and all replicas' counts are added up.
func TestSourcesAreTheSameOnEveryReplica(t *testing.T) {
	server := redistest.Start(t)
	flags := []string{"--namespace", redistest.Namespace(t)}
	a, b := startReplica(t, "replica a", server.URL(), flags...), startReplica(t, "replica b", server.URL(), flags...)
	status, text := ask(t, "POST", a.url+"/v1/sources", inJSON(), `{"name": "shop", "provider": "shopify", "secret": "old"}`)
	require.Equal(t, http.StatusCreated, status, "%s", text)

	send := func(r *replica, secret, id, body string) (int, map[string]any) {
		status, text := ask(t, "POST", r.url+"/in/shop", shopifyHeader(secret, id, body), body)
		var answer struct{ Events []map[string]any }
		require.NoError(t, json.Unmarshal(text, &answer), "%s", text)
		if len(answer.Events) == 0 {
			return status, nil
		}
		return status, answer.Events[0]
	}
	status, first := send(b, "old", "1", "{}")
	require.Equal(t, http.StatusAccepted, status)
	require.Equal(t, "1/orders/create", first["id"])
	require.Equal(t, false, first["duplicate"])
	for _, body := range []string{"{}", `{"other": "bytes"}`} {
		status, again := send(a, "old", "1", body)
		require.Equal(t, http.StatusAccepted, status)
		require.Equal(t, []any{true, first["position"]}, []any{again["duplicate"], again["position"]})
	}
	status, _ = send(a, "wrong", "2", "{}")
	require.Equal(t, http.StatusUnauthorized, status)

	status, text = ask(t, "PATCH", a.url+"/v1/sources/shop", inJSON(), `{"secret": ["****", "new"]}`)
	require.Equal(t, http.StatusOK, status, "%s", text)
	becomes := func(want int, secret string) {
		require.NoError(t, poll(t.Context(), patience, func(context.Context) error {
			if status, _ := send(b, secret, secret, "{}"); status != want {
				return fmt.Errorf("the secret %q is answered with %d", secret, status)
			}
			return nil
		}))
	}
	becomes(http.StatusAccepted, "new")
	status, _ = send(b, "old", "2", "{}")
	require.Equal(t, http.StatusAccepted, status, "both secrets are good while the provider goes from one to the other")
	status, _ = ask(t, "PATCH", a.url+"/v1/sources/shop", inJSON(), `{"secret": "new"}`)
	require.Equal(t, http.StatusOK, status)
	becomes(http.StatusUnauthorized, "old")

	require.NoError(t, poll(t.Context(), patience, func(context.Context) error {
		for _, r := range []*replica{a, b} {
			_, text := ask(t, "GET", r.url+"/v1/sources/shop", http.Header{}, "")
			var shown struct{ Status map[string]int }
			if err := json.Unmarshal(text, &shown); err != nil {
				return err
			}
			n := shown.Status
			if n["accepted"] < 3 || n["duplicates"] < 2 || n["changed"] != 1 || n["rejected"] < 2 {
				return fmt.Errorf("%s counts %v", r.name, n)
			}
		}
		return nil
	}))
}
