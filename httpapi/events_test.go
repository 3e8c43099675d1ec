package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

// publishMany stores events with ids from 1, types by turns a.b, a.c, d.
func publishMany(t testing.TB, a *api, n int) {
	t.Helper()
	for i := range n {
		body := fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/s%d","type":%q,"subject":"x%d"}`, i+1, i%2, []string{"a.b", "a.c", "d"}[i%3], i%5)
		a.do("POST", "/v1/events", body, structured).want(http.StatusAccepted)
	}
}

// page gets one page and returns the ids and the next cursor.
func page(a *api, query string) (ids []string, next string) {
	res := a.do("GET", "/v1/events?"+query, "").want(http.StatusOK)
	for i := range res.get("items").([]any) {
		ids = append(ids, res.get("items", i, "event", "id").(string))
	}
	next, _ = res.get("next").(string)
	return ids, next
}

// pages gets all pages of a list.
func pages(t testing.TB, a *api, query string) []string {
	t.Helper()
	return pagesFrom(t, a, query, "")
}

func pagesFrom(t testing.TB, a *api, query, next string) (ids []string) {
	t.Helper()
	for range 100 {
		more, cursor := page(a, query+"&cursor="+next)
		ids = append(ids, more...)
		if cursor == "" {
			return ids
		}
		next = cursor
	}
	require.Fail(t, "the list has no end")
	return nil
}

func downFrom(n int) (ids []string) {
	for i := n; i > 0; i-- {
		ids = append(ids, fmt.Sprint(i))
	}
	return ids
}

func TestEventsAreListedNewestFirstOverAllPartitions(t *testing.T) {
	for _, partitions := range []int{1, 2, 3} {
		a := newAPIOn(t, newFakeStore(partitions))
		ids, next := page(a, "")
		require.Empty(t, ids)
		require.Empty(t, next)
		publishMany(t, a, 23)
		for _, limit := range []int{1, 4, 5, 23, 1000} {
			require.Equal(t, downFrom(23), pages(t, a, fmt.Sprintf("limit=%d", limit)), "limit %d", limit)
		}
	}
}

func TestLaterPagesHoldNothingThatCameAfterTheFirst(t *testing.T) {
	a := newAPIOn(t, newFakeStore(3))
	publishMany(t, a, 10)
	_, next := page(a, "limit=1")
	a.do("POST", "/v1/events", batchOf("x", "y", "z"), batch).want(http.StatusAccepted)
	require.Equal(t, downFrom(9), pagesFrom(t, a, "limit=4", next))
}

func TestEventsAreFiltered(t *testing.T) {
	a := newAPI(t)
	publishMany(t, a, 12)
	at := func(id int64) string {
		return url.QueryEscape(router.FormatTime(router.Position{MS: 1_732_128_000_000 + id - 1}.AcceptedAt()))
	}
	for query, ids := range map[string][]string{
		"types=a.b":                       {"10", "7", "4", "1"},
		"types=a.*":                       {"11", "10", "8", "7", "5", "4", "2", "1"},
		"types=a.b,d":                     {"12", "10", "9", "7", "6", "4", "3", "1"},
		"types=a.b&types=d":               {"12", "10", "9", "7", "6", "4", "3", "1"},
		"source=/s1":                      {"12", "10", "8", "6", "4", "2"},
		"subject=x3":                      {"9", "4"},
		"id=7":                            {"7"},
		"types=d&source=/s0":              {"9", "3"},
		"id=none":                         nil,
		"from=" + at(10):                  {"12", "11", "10"},
		"to=" + at(4):                     {"3", "2", "1"},
		"from=" + at(4) + "&to=" + at(6):  {"5", "4"},
		"from=" + at(6) + "&to=" + at(6):  nil,
		"to=1960-01-01T00:00:00Z":         nil,
		"from=2200-01-01T00:00:00Z":       nil,
		"types=a.*&limit=2&from=" + at(2): {"11", "10", "8", "7", "5", "4", "2"},
		"from=2024-11-20T18:40:00.0005Z&types=a.b": {"10", "7", "4"},
	} {
		t.Run(query, func(t *testing.T) {
			a := a.in(t)
			require.Equal(t, ids, pages(t, a, query))
		})
	}
}

func TestParametersThatMakeNoSenseAreRefusedByName(t *testing.T) {
	a := newAPI(t)
	for query, location := range map[string]string{
		"limit=0":         "query.limit",
		"limit=1001":      "query.limit",
		"limit=x":         "query.limit",
		"limit=1&limit=2": "query.limit",
		"types=a*":        "query.types",
		"types=":          "query.types",
		"from=yesterday":  "query.from",
		"to=1732128000":   "query.to",
		"cursor=x":        "query.cursor",
		"type=a":          `query."type"`,
		"%zz":             "query",
	} {
		res := a.do("GET", "/v1/events?"+query, "").problem(422, "invalid")
		require.Equal(t, location, res.get("errors", 0, "location"), query)
	}
}

func TestAPageLooksAtABoundedNumberOfEntries(t *testing.T) {
	store := newFakeStore(1)
	for i := range 25_000 {
		e, err := router.NewEvent(router.EventFields{ID: fmt.Sprint(i), Source: "/", Type: "x"})
		require.NoError(t, err)
		store.append(e)
	}
	a := newAPIOn(t, store)
	ids, next := page(a, "id=0")
	require.Empty(t, ids)
	require.NotEmpty(t, next)
	require.LessOrEqual(t, store.reads, 11_000)
	require.Equal(t, []string{"0"}, pagesFrom(t, a, "id=0", next))
}

func TestEntriesThatCannotBeReadAreNotListed(t *testing.T) {
	a := newAPI(t)
	p := a.store.spoil()
	publishMany(t, a, 2)
	require.Equal(t, downFrom(2), pages(t, a, "limit=1"))
	res := a.do("GET", "/v1/events/"+p.String(), "").problem(http.StatusNotFound, "not-found")
	require.Contains(t, res.get("detail"), "dead letters")
}

func TestAnEventComesOutAsItWentIn(t *testing.T) {
	a := newAPI(t)
	data := "{ \"b\" :\t1.00, \"a\":\"<\\u00e9>\",\n \"big\":12345678901234567890 }"
	a.do("POST", "/v1/events", `{"specversion":"1.0","id":"é","source":"/s","type":"t","ext":true,"n":-5,"data":`+data+`}`, structured).want(http.StatusAccepted)
	a.do("POST", "/v1/events", "\x00\xff", "Content-Type: image/png", "Ce-Specversion: 1.0", "Ce-Id: 2", "Ce-Source: /s", "Ce-Type: t").want(http.StatusAccepted)
	res := a.do("GET", "/v1/events/0:1732128000000-0", "").want(http.StatusOK)
	require.Equal(t, `{"position":"0:1732128000000-0","accepted_at":"2024-11-20T18:40:00.000Z","event":{"specversion":"1.0","id":"é","source":"/s","type":"t","ext":true,"n":-5,"data":`+data+"}}\n", res.body)
	res = a.do("GET", "/v1/events?id=2", "").want(http.StatusOK)
	require.Equal(t, "AP8=", res.get("items", 0, "event", "data_base64"))
}

func TestAnEventThatIsNotThereIsNotFound(t *testing.T) {
	a := newAPI(t)
	publishMany(t, a, 1)
	for path, word := range map[string]string{
		"0:1732128000000-0":  "",
		"0:1732128000000-1":  "not-found",
		"0:1-1":              "not-found",
		"9:1732128000000-0":  "not-found",
		"1732128000000-0":    "invalid",
		"-1:1732128000000-0": "invalid",
		"0:x":                "invalid",
	} {
		res := a.do("GET", "/v1/events/"+path, "")
		switch word {
		case "":
			res.want(http.StatusOK)
		case "invalid":
			res.problem(422, word)
		default:
			res.problem(404, word)
		}
	}
	a.do("GET", "/v1/events/0:1732128000000-0?x=1", "").problem(422, "invalid")
}

func TestAFailureToReadIsShownWithoutItsCause(t *testing.T) {
	a := newAPI(t)
	a.store.fail(fmt.Errorf("dial tcp 10.1.2.3: %w", router.Errorf(router.Unavailable, "Redis can't be reached")))
	for _, path := range []string{"/v1/events", "/v1/events/0:1-1", "/v1/events/stream", "/v1/subscriptions", "/v1/subscriptions/a", "/v1/dead-letters", "/v1/status"} {
		res := a.do("GET", path, "").problem(http.StatusServiceUnavailable, "unavailable")
		require.Equal(t, "Redis can't be reached", res.get("detail"))
	}
	a.store.fail(fmt.Errorf("dial tcp 10.1.2.3: %s", "refused\n"))
	res := a.do("GET", "/v1/events", "").problem(http.StatusInternalServerError, "internal")
	require.NotContains(t, res.body, "10.1.2.3")
	require.Contains(t, a.log.String(), "10.1.2.3")
	require.Contains(t, a.log.String(), res.header.Get("X-Request-Id"))
	require.Equal(t, 1, strings.Count(a.log.String(), "\n"), "what is not ours stays on one line")
}

func TestAPageOfLargeEventsEndsEarly(t *testing.T) {
	store := newFakeStore(2)
	for i := range 18 {
		e, err := router.NewEvent(router.EventFields{ID: fmt.Sprint(i + 1), Source: "/", Type: "x", DataContentType: "text/plain", DataKind: router.TextData, Data: strings.Repeat("x", 1<<20)})
		require.NoError(t, err)
		store.append(e)
	}
	a := newAPIOn(t, store)
	ids, next := page(a, "limit=1000")
	require.Equal(t, downFrom(18)[:16], ids)
	require.Equal(t, downFrom(2), pagesFrom(t, a, "limit=1000", next))
}
