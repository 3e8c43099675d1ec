package main

import (
	"bytes"
	"context"
	"flag"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"
	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

const (
	entryField = "e"        // the one field of a stream entry; its value is the event as JSON
	bareLog    = "bare:log" // the stream that the bare server appends to
	relayPath  = "/relay"
)

// bare is the reference for accepting and relaying: an echo handler that reads the body, splits an array into its
// elements and appends them by group commit, and on demand a loop that posts every entry to a URL. It checks nothing,
// filters nothing, repeats nothing and keeps no state beside the stream.
type bare struct {
	ctx    context.Context // of everything that runs beside the handlers
	client *redis.Client
	log    *committer
}

// runBare is the role "role-bare": it prints its address and serves until it is ended.
func runBare(ctx context.Context, args []string, say func(any) error) error {
	f := flag.NewFlagSet("role-bare", flag.ContinueOnError)
	given := f.String("redis", "", redisUsage)
	if err := f.Parse(args); err != nil {
		return err
	}
	addr, stop, err := orEmbedded(*given)
	if err != nil {
		return err
	}
	defer stop()
	client := redis.NewClient(redistest.Options(addr))
	defer client.Close()
	b := &bare{ctx: ctx, client: client, log: newCommitter(client, bareLog)}
	go b.log.run(ctx)

	e := echo.New()
	e.POST(eventsPath, b.accept)
	e.POST(relayPath, b.startRelay)
	return serve(ctx, e, say)
}

// accept appends the event or events of one request, and answers when they are stored.
func (b *bare) accept(c echo.Context) error {
	r := c.Request()
	body, err := appendAll(nil, r.Body, r.ContentLength)
	if err != nil {
		return err
	}
	events := [][]byte{body}
	if len(body) > 0 && body[0] == '[' {
		if events, err = elements(body); err != nil {
			return echo.NewHTTPError(http.StatusBadRequest, "not a JSON array")
		}
	}
	if err := b.log.add(r.Context(), events...); err != nil {
		return err
	}
	return c.NoContent(http.StatusAccepted)
}

// elements splits a JSON array, without copying.
func elements(array []byte) ([][]byte, error) {
	d := jsontext.NewDecoder(bytes.NewReader(array))
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	var all [][]byte
	for d.PeekKind() != ']' {
		value, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		end := int(d.InputOffset())
		all = append(all, array[end-len(value):end])
	}
	return all, nil
}

// startRelay begins to post what is in the log and what comes: ?to=URL&workers=64.
func (b *bare) startRelay(c echo.Context) error {
	workers, err := strconv.Atoi(c.QueryParam("workers"))
	if err != nil || workers < 1 {
		return echo.NewHTTPError(http.StatusBadRequest, "workers is not a number above 0")
	}
	r := newRelay(b.client, c.QueryParam("to"), workers)
	go r.run(b.ctx)
	return c.NoContent(http.StatusNoContent)
}
