package router_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestTimesAreReadAsRFC3339Says(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2018-04-05T17:31:00Z":                time.Date(2018, 4, 5, 17, 31, 0, 0, time.UTC),
		"2018-04-05t17:31:00z":                time.Date(2018, 4, 5, 17, 31, 0, 0, time.UTC),
		"2018-04-26T14:48:09+02:00":           time.Date(2018, 4, 26, 12, 48, 9, 0, time.UTC),
		"2018-04-26T14:48:09-23:59":           time.Date(2018, 4, 27, 14, 47, 9, 0, time.UTC),
		"2018-04-26T14:48:09-00:00":           time.Date(2018, 4, 26, 14, 48, 9, 0, time.UTC),
		"2018-04-26T14:48:09.1234Z":           time.Date(2018, 4, 26, 14, 48, 9, 123_400_000, time.UTC),
		"2018-04-26T14:48:09.12345678987654Z": time.Date(2018, 4, 26, 14, 48, 9, 123_456_789, time.UTC),
		"0000-01-01T00:00:00Z":                time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		"9999-12-31T23:59:59Z":                time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		"2024-02-29T00:00:00Z":                time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
		"2000-02-29T00:00:00Z":                time.Date(2000, 2, 29, 0, 0, 0, 0, time.UTC),
		"1990-12-31T23:59:60Z":                time.Date(1991, 1, 1, 0, 0, 0, 0, time.UTC),
		"1990-12-31T15:59:60-08:00":           time.Date(1991, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		got, err := router.ParseTime(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestTimesThatAreNotRFC3339AreRefused(t *testing.T) {
	for _, text := range []string{
		"", "now", "2018-04-05", "17:31:00Z", "2018-04-05T17:31Z", "2018-04-05T17:31:00", "2018-04-05 17:31:00Z", "2018-04-05T17:31:00 Z",
		"2018-4-05T17:31:00Z", "2018-04-05T7:31:00Z", "2018-04-05T17:31:00,5Z", "2018-04-05T17:31:00.Z", "2018-04-05T17:31:00Z ", " 2018-04-05T17:31:00Z",
		"2018-13-05T17:31:00Z", "2018-00-05T17:31:00Z", "2018-04-31T17:31:00Z", "2018-04-00T17:31:00Z", "2019-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
		"2018-04-05T24:00:00Z", "2018-04-05T17:60:00Z", "2018-04-05T17:31:61Z", "2018-04-05T17:31:60Z", "1990-12-30T23:59:60Z",
		"2018-04-05T17:31:00+24:00", "2018-04-05T17:31:00+01:60", "2018-04-05T17:31:00+0100", "2018-04-05T17:31:00+01", "2018-04-05T17:31:00+1:00",
		"+2018-04-05T17:31:00Z", "12018-04-05T17:31:00Z", "2018-04-05T17:31:00ZZ", "2018-04-05T17:31:0१Z", "-018-04-05T17:31:00Z",
	} {
		_, err := router.ParseTime(text)
		require.Error(t, err, text)
	}
}

func TestTimesArePrintedInUTCWithMilliseconds(t *testing.T) {
	berlin := time.FixedZone("", 2*60*60)
	require.Equal(t, "2026-11-20T10:00:00.000Z", router.FormatTime(time.Date(2026, 11, 20, 12, 0, 0, 0, berlin)))
	require.Equal(t, "2026-11-20T12:00:00.123Z", router.FormatTime(time.Date(2026, 11, 20, 12, 0, 0, 123_999_999, time.UTC)))
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2018-04-26T14:48:09.1234+02:00", "1990-12-31T23:59:60Z", "2018-04-05T17:31:00,5Z", ""} {
		f.Add(s)
	}
	// What time.Parse takes and this pattern allows, has to be taken, as the same instant.
	strict := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
	f.Fuzz(func(t *testing.T, s string) {
		got, err := router.ParseTime(s)
		want, wantErr := time.Parse(time.RFC3339, s)
		if wantErr == nil && strict.MatchString(s) {
			require.NoError(t, err, s)
			require.True(t, want.Equal(got), s)
		} else if err == nil {
			require.Regexp(t, "[tz]|:60", s)
		}
	})
}
