package keyring

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func keyOf(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, keySize))
}

func ring(t testing.TB, keys ...string) *Keyring {
	t.Helper()
	k, err := New(keys...)
	require.NoError(t, err)
	return k
}

func TestWhatIsSealedIsOpenedWithItsKeyWhereverThatStands(t *testing.T) {
	old, both, swapped := ring(t, keyOf(1)), ring(t, keyOf(1), keyOf(2)), ring(t, keyOf(2), keyOf(1))
	rapid.Check(t, func(t *rapid.T) {
		text, purpose := rapid.String().Draw(t, "text"), rapid.String().Draw(t, "purpose")
		sealed := old.Seal(text, purpose)
		require.True(t, strings.HasPrefix(sealed, "sealed:v1:"+old.IDs()[0]+":"))
		for _, k := range []*Keyring{old, both, swapped} {
			opened, err := k.Open(sealed, purpose)
			require.NoError(t, err)
			require.Equal(t, text, opened)
		}
		require.True(t, both.Current(sealed))
		require.False(t, swapped.Current(sealed))
		require.NotEqual(t, sealed, old.Seal(text, purpose), "a nonce is used once")
	})
}

func TestTextThatWasStoredWithoutAKeyIsRead(t *testing.T) {
	var none *Keyring
	some := ring(t, keyOf(1))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"", "sealed:v0:", "sealed:v1:", "sealed:v1:01234567:x"}).Draw(t, "start") + rapid.String().Draw(t, "text")
		for _, k := range []*Keyring{none, some} {
			opened, err := k.Open(none.Seal(text, "p"), "p")
			require.NoError(t, err)
			require.Equal(t, text, opened)
		}
		require.True(t, none.Current(none.Seal(text, "p")))
		require.False(t, some.Current(none.Seal(text, "p")))
	})
	require.Equal(t, "whsec_x", none.Seal("whsec_x", "p"), "as it always was")
}

func TestNothingIsOpenedWithAnotherKeyForAnotherPurposeOrChanged(t *testing.T) {
	k, other := ring(t, keyOf(1)), ring(t, keyOf(2))
	var none *Keyring
	sealed := k.Seal("hunter2", "subscription/sub_1/secret")
	for _, wrong := range []*Keyring{other, none} {
		_, err := wrong.Open(sealed, "subscription/sub_1/secret")
		require.EqualError(t, err, `is sealed under the key "`+k.IDs()[0]+`", which there is not`)
		require.Equal(t, k.IDs(), wrong.Missing(`{"secret":"`+sealed+`"}`))
	}
	require.Empty(t, k.Missing(`{"secret":"`+sealed+`"}`))
	_, err := k.Open(sealed, "subscription/sub_2/secret")
	require.ErrorContains(t, err, "is not what was sealed here")
	head := len(sealedPrefix) + len(k.IDs()[0]) + 1
	for i := head; i < len(sealed); i++ {
		for _, changed := range []string{sealed[:i] + "_" + sealed[i+1:], sealed[:i], sealed[:i] + "\n" + sealed[i:]} {
			if changed == sealed {
				continue
			}
			_, err := k.Open(changed, "subscription/sub_1/secret")
			require.ErrorContains(t, err, "is not what was sealed here", changed)
		}
	}
	for _, broken := range []string{"sealed:v1:", "sealed:v1:x", "sealed:v1:" + strings.Repeat("\n", 100)} {
		_, err := k.Open(broken, "p")
		require.Error(t, err)
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestAKeyIs32BytesInBase64AndNeverShown(t *testing.T) {
	made := NewKey(bytes.NewReader(bytes.Repeat([]byte{7}, keySize)))
	require.Equal(t, keyOf(7), made)
	ids := ring(t, made).IDs()
	require.Len(t, ids, 1)
	require.Regexp(t, `^[0-9a-f]{8}$`, ids[0])
	for _, wrong := range []string{"", "hunter2", keyOf(1) + "=", keyOf(1)[:40], keyOf(1)[:20] + "\n" + keyOf(1)[20:], base64.StdEncoding.EncodeToString(make([]byte, 16))} {
		_, err := New(keyOf(1), wrong)
		require.EqualError(t, err, "key 2 is not 32 bytes in padded base64", wrong)
	}
	_, err := New(keyOf(1), keyOf(2), keyOf(1))
	require.ErrorContains(t, err, "key 3")
	require.ErrorContains(t, err, "twice")
	none, err := New()
	require.NoError(t, err)
	require.Nil(t, none)
	require.Empty(t, none.IDs())
}
