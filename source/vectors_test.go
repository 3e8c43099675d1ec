package source_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

// vectors reads a file of test data that lies beside the project, in a folder "shared".
func vectors(t testing.TB, name string, into any) {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "shared", "vectors", name, "vectors.json"))
		if err == nil {
			require.NoError(t, json.Unmarshal(text, into))
			return
		}
	}
	t.Skipf("the test data shared/vectors/%s is not beside the project", name)
}

type inboundVector struct {
	Provider, Name, Secret, Expect string
	Headers                        map[string]string
	Body                           string `json:"body_b64"`
	Now                            int64
	URL                            string
	Algo, Encoding, Header, Prefix string
	Respond                        *struct {
		Status      int
		ContentType string `json:"content_type"`
		Body        string
	}
}

// source is a definition for the vector's provider.
func (v inboundVector) source() router.Source {
	s := router.Source{Name: "inlet", Provider: v.Provider, Secrets: []string{v.Secret}}
	switch v.Provider {
	case "twilio":
		s.URL, _, _ = strings.Cut(v.URL, "?")
	case "generic-hmac":
		s.Provider, s.Signature = "hmac", router.SourceSignature{Header: v.Header, Algorithm: v.Algo, Encoding: v.Encoding, Prefix: v.Prefix}
	case "generic-token":
		s.Provider, s.Token = "token", router.SourceToken{Header: v.Header}
	case "linear":
		s.Provider, s.Signature = "hmac", router.SourceSignature{Header: "Linear-Signature"}
	}
	return s
}

func TestTheInboundVectorsAreVerifiedOrRefused(t *testing.T) {
	var file struct{ Vectors []inboundVector }
	vectors(t, "inbound", &file)
	require.NotEmpty(t, file.Vectors)
	for _, v := range file.Vectors {
		s := v.source()
		body, err := base64.StdEncoding.DecodeString(v.Body)
		require.NoError(t, err)
		m := source.Message{Method: http.MethodPost, Header: http.Header{}, Query: url.Values{}, Body: body}
		if _, query, ok := strings.Cut(v.URL, "?"); ok {
			m.RawQuery = query
			m.Query, err = url.ParseQuery(query)
			require.NoError(t, err)
		}
		for name, value := range v.Headers {
			m.Header.Set(name, value)
		}
		in := compile(t, s)
		err = in.Verify(m, time.Unix(v.Now, 0))
		require.Equal(t, v.Expect == "valid", err == nil, "%s %s: %v", v.Provider, v.Name, err)
		if v.Respond != nil {
			answer, ok := in.Challenge(m)
			require.True(t, ok)
			require.Equal(t, v.Respond.Body, answer.Body)
			require.Contains(t, answer.ContentType, v.Respond.ContentType)
		}
	}
}

type standardVector struct {
	Name, Secret, Expect string
	PublicKey            string  `json:"public_key"`
	ID                   *string `json:"webhook_id"`
	Timestamp            *string `json:"webhook_timestamp"`
	Signature            *string `json:"webhook_signature"`
	Body                 string  `json:"payload_b64"`
	Now                  int64
}

func TestTheStandardWebhooksVectorsAreVerifiedOrRefused(t *testing.T) {
	var file struct{ Vectors []standardVector }
	vectors(t, "standard-webhooks", &file)
	require.NotEmpty(t, file.Vectors)
	for _, v := range file.Vectors {
		s := router.Source{Name: "inlet", Provider: "standard-webhooks", PublicKey: v.PublicKey}
		if v.PublicKey == "" {
			s.Secrets = []string{v.Secret}
		}
		in, err := source.Compile(s)
		if v.Expect == "secret-error" {
			require.Error(t, err, v.Name)
			continue
		}
		require.NoError(t, err, v.Name)
		body, err := base64.StdEncoding.DecodeString(v.Body)
		require.NoError(t, err)
		m := source.Message{Method: http.MethodPost, Header: http.Header{}, Body: body}
		for name, value := range map[string]*string{"Webhook-Id": v.ID, "Webhook-Timestamp": v.Timestamp, "Webhook-Signature": v.Signature} {
			if value != nil {
				m.Header.Set(name, *value)
			}
		}
		err = in.Verify(m, time.Unix(v.Now, 0))
		require.Equal(t, v.Expect == "valid", err == nil, "%s: %v", v.Name, err)
	}
}
