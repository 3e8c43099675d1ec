package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"

	"github.com/streamlatch/streamlatch/keyring"
)

// config is what a server is told, checked and complete: the settings of the table with their defaults filled in.
type config struct {
	options // what a replica is made of

	logLevel  slog.Level
	logFormat string // "text" or "json"

	redisFiles  tlsFiles
	secretsKeys []string
}

// tlsFiles are the files that the TLS configuration for Redis is made of.
type tlsFiles struct{ ca, certificate, key string }

// finish checks what concerns several settings, and makes what is made of several.
func (e *effective) finish() (faults []error) {
	c := &e.config
	if c.Embedded {
		c.Targets = append(c.Targets, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	} else if c.Store.URL == "" {
		faults = append(faults, fmt.Errorf("redis is not set: say --redis URL or set %s; without a Redis there is `streamlatch dev`", setting{name: "redis"}.variable()))
	}
	if len(c.API.Keys) == 0 && !isLoopback(c.Listen) {
		faults = append(faults, fmt.Errorf("%s: listen: without API keys everybody who reaches %s could do everything, so only a loopback address such as "+
			"127.0.0.1:8080 is possible; make a key with `streamlatch key new` and configure it with api-keys or api-keys-file", e.origin("listen"), plain(c.Listen)))
	}
	if c.API.Limits.MaxEventBytes > c.API.Limits.MaxBatchBytes {
		faults = append(faults, fmt.Errorf("%s: max-event-bytes: is more than max-batch-bytes", e.origin("max-event-bytes")))
	}
	tls, err := c.redisFiles.load()
	switch {
	case err != nil:
		faults = append(faults, err)
	case tls != nil && !strings.HasPrefix(c.Store.URL, "rediss"):
		faults = append(faults, errors.New("redis-ca-file and redis-cert-file are of no use: the URL in redis does not ask for TLS, which rediss in the place of redis does"))
	}
	c.Store.TLS = tls
	if c.Store.Secrets, err = keyring.New(c.secretsKeys...); err != nil {
		faults = append(faults, fmt.Errorf("secrets-key and secrets-key-file: %w", reason(err)))
	}
	return faults
}

func (e *effective) origin(name string) string {
	for _, v := range e.values {
		if v.setting.name == name {
			return v.origin
		}
	}
	return ""
}

// load makes the TLS configuration, nil where no file is given.
func (f tlsFiles) load() (*tls.Config, error) {
	if f == (tlsFiles{}) {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("redis-ca-file: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("redis-ca-file: %s holds no certificate in PEM", f.ca)
		}
	}
	if (f.certificate == "") != (f.key == "") {
		return nil, errors.New("redis-cert-file and redis-key-file belong together; one of them is not set")
	}
	if f.certificate != "" {
		pair, err := tls.LoadX509KeyPair(f.certificate, f.key)
		if err != nil {
			return nil, fmt.Errorf("redis-cert-file and redis-key-file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
