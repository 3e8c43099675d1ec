package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streamlatch/streamlatch/internal/hostile"
)

// addresses are the URLs that the role "role-misbehave" prints.
type addresses struct{ URLs []string }

// runMisbehave is the role "role-misbehave": it prints the URLs of so many endpoints, of each kind of misbehaviour in turn, and serves them until it is ended.
func runMisbehave(ctx context.Context, args []string, say func(any) error) error {
	f := flag.NewFlagSet("role-misbehave", flag.ContinueOnError)
	endpoints := f.Int("endpoints", 1, "how many")
	if err := f.Parse(args); err != nil {
		return err
	}
	servers, ctx := errgroup.WithContext(ctx)
	var a addresses
	kinds := hostile.Kinds()
	for i := range *endpoints {
		url, err := misbehave(ctx, kinds[i%len(kinds)], servers)
		if err != nil {
			return err
		}
		a.URLs = append(a.URLs, url)
	}
	if err := say(a); err != nil {
		return err
	}
	return servers.Wait()
}

// misbehave serves an endpoint of a kind in a group until the context ends, and returns its URL.
func misbehave(ctx context.Context, kind hostile.Kind, servers *errgroup.Group) (url string, err error) {
	bad, err := hostile.New(kind, hostile.Config{})
	if err != nil {
		return "", err
	}
	plain, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	l, err := bad.Listener(plain)
	if err != nil {
		return "", errors.Join(err, plain.Close())
	}
	server := &http.Server{
		ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), // what it would say is that it misbehaves
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			bad.Answer(w, r)
		}),
	}
	context.AfterFunc(ctx, func() {
		bad.Close()
		_ = server.Close() // what it served has come to its end with ctx
	})
	servers.Go(func() error { return server.Serve(l) })
	return bad.Scheme() + "://" + plain.Addr().String() + "/", nil
}
