package webhook

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestParseSecret(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	for _, c := range []struct {
		rule, text string
		ok         bool
	}{
		{"takes 24 bytes", secretPrefix + encode(make([]byte, 24)), true},
		{"takes 64 bytes", secretPrefix + encode(make([]byte, 64)), true},
		{"takes padding of one", secretPrefix + encode(make([]byte, 26)), true},
		{"takes padding of two", secretPrefix + encode(make([]byte, 25)), true},
		{"takes it without prefix", encode(make([]byte, 24)), true},
		{"refuses nothing", "", false},
		{"refuses the prefix alone", secretPrefix, false},
		{"refuses 23 bytes", secretPrefix + encode(make([]byte, 23)), false},
		{"refuses 65 bytes", secretPrefix + encode(make([]byte, 65)), false},
		{"refuses missing padding", secretPrefix + base64.RawStdEncoding.EncodeToString(make([]byte, 25)), false},
		{"refuses padding too much", secretPrefix + encode(make([]byte, 24)) + "==", false},
		{"refuses bits after the end", secretPrefix + strings.Repeat("A", 33) + "B==", false},
		{"refuses the URL alphabet", secretPrefix + strings.Repeat("-_", 16), false},
		{"refuses a line break", secretPrefix + strings.Repeat("A", 16) + "\n" + strings.Repeat("A", 16), false},
		{"refuses a line break at the end", secretPrefix + strings.Repeat("A", 32) + "\r\n", false},
		{"refuses space", secretPrefix + " " + strings.Repeat("A", 32), false},
		{"refuses the prefix twice", secretPrefix + secretPrefix + strings.Repeat("A", 32), false},
		{"refuses a private key", privateKeyPrefix + encode(make([]byte, 64)), false},
		{"refuses a public key", publicKeyPrefix + encode(make([]byte, 32)), false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			_, err := ParseSecret(c.text)
			require.Equal(t, c.ok, err == nil, "%v", err)
		})
	}
}

func TestCheckSecretWantsThePrefix(t *testing.T) {
	require.NoError(t, CheckSecret(knownSecret))
	for _, bad := range []string{"", "whsec_", knownSecret[6:], knownSecret + "A", "whsk_" + knownSecret[6:]} {
		require.Equal(t, router.Invalid, router.ErrorCode(CheckSecret(bad)), bad)
	}
}

func TestNewSecretIsLongEnoughAndNeverTheSame(t *testing.T) {
	a, b := NewSecret(rand.Reader), NewSecret(rand.Reader)
	require.NotEqual(t, a, b)
	require.Len(t, mustSecret(t, a).key, 32)
	require.Equal(t, secretPrefix+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)), NewSecret(bytes.NewReader(bytes.Repeat([]byte{7}, 40))))
	require.Panics(t, func() { NewSecret(iotest.ErrReader(errors.New("no entropy"))) })
}

func TestASecretPrintsMasked(t *testing.T) {
	s := mustSecret(t, knownSecret)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		out := fmt.Sprintf(format, s) + fmt.Sprintf(format, struct{ S Secret }{s})
		require.NotContains(t, out, s.key)
		require.NotContains(t, out, "MfKQ")
		require.NotContains(t, out, "49, 242")
	}
	_, err := ParseSecret("whsec_hunter2hunter2")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestParsePublicKey(t *testing.T) {
	_, err := ParsePublicKey(knownPublicKey)
	require.NoError(t, err)
	for _, bad := range []string{"", "whpk_", knownSecret, knownPublicKey[5:], knownPublicKey[:len(knownPublicKey)-1], publicKeyPrefix + strings.Repeat("A", 44)} {
		_, err := ParsePublicKey(bad)
		require.Error(t, err, bad)
	}
}

func FuzzParseSecret(f *testing.F) {
	for _, seed := range []string{knownSecret, knownSecret[6:], "whsec_", "whsec_=", "whsk_AAAA", strings.Repeat("A", 86) + "==", "\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		secret, err := ParseSecret(s)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, len(secret.key), minSecret)
		require.LessOrEqual(t, len(secret.key), maxSecret)
		require.Equal(t, strings.TrimPrefix(s, secretPrefix), base64.StdEncoding.EncodeToString([]byte(secret.key)), "there is one way to write a secret")
	})
}
