package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/pprof"
	"testing"
	"time"
	"log/slog"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

func TestZZProf(t *testing.T) {
	if os.Getenv("PROF") == "" {
		t.Skip()
	}
	a, err := newApp(context.Background(), options{Listen: "127.0.0.1:7777", Store: redisstore.Config{URL: "redis://127.0.0.1:7779"}, Router: router.Config{Grace: time.Second}, API: httpapi.Config{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	f, _ := os.Create(os.Getenv("PROF"))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	pprof.StartCPUProfile(f)
	a.Run(ctx)
	pprof.StopCPUProfile()
	f.Close()
}
