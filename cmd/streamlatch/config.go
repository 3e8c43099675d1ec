package main

import "log/slog"

// config is what a server is told, checked and complete: the settings of the table with their defaults filled in.
type config struct {
	options // what a replica is made of

	dev       bool // on an embedded Redis
	logLevel  slog.Level
	logFormat string // "text" or "json"

	redisFiles tlsFiles
}

// tlsFiles are the files that the TLS configuration for Redis is made of.
type tlsFiles struct{ ca, certificate, key string }
