package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/keyring"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/webhook"
)

// The functions of this file read values. What they return as an error is put behind the setting's name, and never holds a value that is secret.

type setter = func(c *config, value []string) error

func text(field func(*config) *string) setter {
	return func(c *config, value []string) error {
		*field(c) = value[0]
		return nil
	}
}

func texts(field func(*config) *[]string) setter {
	return func(c *config, value []string) error {
		*field(c) = value
		return nil
	}
}

func oneOf(field func(*config) *string, words ...string) setter {
	return func(c *config, value []string) error {
		if !slices.Contains(words, value[0]) {
			return fmt.Errorf("%q is none of %s", value[0], strings.Join(words, ", "))
		}
		*field(c) = value[0]
		return nil
	}
}

func number(field func(*config) *int, least, most int) setter {
	return func(c *config, value []string) error {
		n, err := strconv.Atoi(value[0])
		if err != nil {
			return fmt.Errorf("%q is not a whole number", value[0])
		}
		if n < least || n > most {
			return fmt.Errorf("must be from %d to %d, not %d", least, most, n)
		}
		*field(c) = n
		return nil
	}
}

func rate(field func(*config) *float64) setter {
	return func(c *config, value []string) error {
		f, err := strconv.ParseFloat(value[0], 64)
		if err != nil || f < 0 || math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%q is not a number of 0 or more", value[0])
		}
		*field(c) = f
		return nil
	}
}

func duration(field func(*config) *time.Duration, least, most string) setter {
	return func(c *config, value []string) error {
		d, err := router.ParseDuration(value[0])
		if err != nil {
			return reason(err)
		}
		low, errLow := router.ParseDuration(least)
		high, errHigh := router.ParseDuration(most)
		if err := errors.Join(errLow, errHigh); err != nil {
			return err
		}
		if d < low || d > high {
			return fmt.Errorf("must be from %s to %s, not %s", low, high, d)
		}
		*field(c) = d.Std()
		return nil
	}
}

// reason gives what a caller may see of an error of the domain.
func reason(err error) error {
	e, ok := errors.AsType[*router.Error](err)
	if !ok {
		return err
	}
	message := e.Message
	for _, p := range e.Problems {
		message += "; " + p.Location + " " + p.Message
	}
	return errors.New(message)
}

var sizePattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)$`)

// parseSize reads a number of bytes: "1048576", "512KiB", "2GiB", "1.5GB".
func parseSize(s string) (int64, error) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a size such as 64MiB", s)
	}
	unit, ok := map[string]float64{
		"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	}[strings.ToLower(m[2])]
	if !ok {
		return 0, fmt.Errorf("%q has no unit of B, kB, MB, GB, TB, KiB, MiB, GiB or TiB", s)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil || n*unit > 1<<60 {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return int64(n * unit), nil
}

func size(field func(*config) *int64, least, most int64) setter {
	return func(c *config, value []string) error {
		n, err := parseSize(value[0])
		if err != nil {
			return err
		}
		if n < least || n > most {
			return fmt.Errorf("must be from %d to %d bytes, not %d", least, most, n)
		}
		*field(c) = n
		return nil
	}
}

func intSize(field func(*config) *int, least, most int64) setter {
	return func(c *config, value []string) error {
		var n int64
		if err := size(func(*config) *int64 { return &n }, least, most)(c, value); err != nil {
			return err
		}
		*field(c) = int(n)
		return nil
	}
}

func address(field func(*config) *string) setter {
	return func(c *config, value []string) error {
		_, port, err := net.SplitHostPort(value[0])
		if n, badPort := strconv.ParseUint(port, 10, 16); err != nil || badPort != nil || strconv.FormatUint(n, 10) != port {
			return fmt.Errorf("%q is not an address such as 127.0.0.1:8080", value[0])
		}
		*field(c) = value[0]
		return nil
	}
}

var namespacePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

func setNamespace(c *config, value []string) error {
	if !namespacePattern.MatchString(value[0]) {
		return fmt.Errorf("%q must be lower-case letters, digits and hyphens, at most 32, the first not a hyphen", value[0])
	}
	c.Store.Namespace = value[0]
	return nil
}

func setRedis(c *config, value []string) error {
	if _, err := redisstore.ParseURL(value[0]); err != nil {
		return errors.New(strings.TrimPrefix(reason(err).Error(), "redis: "))
	}
	c.Store.URL = value[0]
	return nil
}

func setTargets(c *config, value []string) error {
	prefixes, err := webhook.ParseTargets(value...)
	if err != nil {
		return reason(err)
	}
	c.Targets = prefixes
	return nil
}

func setPorts(c *config, value []string) error {
	for _, text := range value {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%q is not a port from 1 to 65535", text)
		}
		c.Ports = append(c.Ports, uint16(n))
	}
	return nil
}

func setSchedule(c *config, value []string) error {
	c.API.Rules.Delivery.Retry.Schedule = nil
	for _, step := range value {
		d, err := router.ParseDuration(step)
		if err != nil {
			return reason(err)
		}
		c.API.Rules.Delivery.Retry.Schedule = append(c.API.Rules.Delivery.Retry.Schedule, d)
	}
	return checkRetry(router.Retry{Schedule: c.API.Rules.Delivery.Retry.Schedule})
}

func setJitter(c *config, value []string) error {
	f, err := strconv.ParseFloat(value[0], 64)
	if err != nil {
		return fmt.Errorf("%q is not a number from 0 to 1", value[0])
	}
	c.API.Rules.Delivery.Retry.Jitter = f
	return checkRetry(router.Retry{Jitter: f})
}

// setPause and setDisableAfter set parts of the breaker that subscriptions have by default.
func setPause(c *config, value []string) error {
	d, err := router.ParseDuration(value[0])
	if err != nil {
		return reason(err)
	}
	c.API.Rules.Delivery.Breaker.Pause = d
	return checkBreaker(router.Breaker{Failures: 1, Pause: d})
}

func setDisableAfter(c *config, value []string) error {
	d, err := router.ParseDuration(value[0])
	if err != nil {
		return reason(err)
	}
	c.API.Rules.Delivery.Breaker.DisableAfter = d
	return checkBreaker(router.Breaker{Pause: router.DefaultBreaker().Pause, DisableAfter: d})
}

func checkBreaker(b router.Breaker) error {
	if err := b.Check(); err != nil {
		return reason(err)
	}
	return nil
}

func checkRetry(r router.Retry) error {
	if err := r.Check(); err != nil {
		return reason(err)
	}
	return nil
}

func setLevel(c *config, value []string) error {
	level, ok := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[strings.ToLower(value[0])]
	if !ok {
		return fmt.Errorf("%q is none of debug, info, warn, error", value[0])
	}
	c.logLevel = level
	return nil
}

// keyDocument is one API key as it is configured.
type keyDocument struct {
	Name   string   `yaml:"name" json:"name"`
	Hash   string   `yaml:"hash" json:"hash"`
	Scopes []string `yaml:"scopes,flow" json:"scopes"`
	Types  []string `yaml:"types,flow,omitempty" json:"types,omitempty"`
}

func setKeys(c *config, value []string) error {
	keys, err := parseKeys([]byte(value[0]))
	c.API.Keys = append(c.API.Keys, keys...)
	return err
}

func setKeysFile(c *config, value []string) error {
	text, err := os.ReadFile(value[0])
	if err != nil {
		return fmt.Errorf("read the keys: %w", err)
	}
	keys, err := parseKeys(text)
	c.API.Keys = append(c.API.Keys, keys...)
	if err != nil {
		return fmt.Errorf("%s: %w", value[0], err)
	}
	return nil
}

// parseKeys reads a list of API keys. Errors name the key, and don't repeat hashes, nor the key itself that somebody took for its hash.
func parseKeys(text []byte) (keys []httpapi.Key, err error) {
	var documents []keyDocument
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&documents); err != nil {
		return nil, errors.New("is not a list of keys with name, hash, scopes and types, as `streamlatch key new` prints them")
	}
	for i, d := range documents {
		k := httpapi.Key{Name: d.Name, Hash: d.Hash, Types: d.Types}
		for _, s := range d.Scopes {
			k.Scopes = append(k.Scopes, httpapi.Scope(s))
		}
		if d.Name == "" {
			return nil, fmt.Errorf("key %d has no name", i+1)
		}
		if err := k.Check(); err != nil {
			return nil, fmt.Errorf("key %q: %w", d.Name, reason(err))
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func setSecretsKeys(c *config, value []string) error {
	if _, err := keyring.New(value...); err != nil {
		return reason(err)
	}
	c.secretsKeys = append(c.secretsKeys, value...)
	return nil
}

func setSecretsKeyFile(c *config, value []string) error {
	text, err := os.ReadFile(value[0])
	if err != nil {
		return fmt.Errorf("read the keys: %w", err)
	}
	keys := strings.Fields(string(text))
	if len(keys) == 0 {
		return fmt.Errorf("%s holds no key", value[0])
	}
	if err := setSecretsKeys(c, keys); err != nil {
		return fmt.Errorf("%s: %w", value[0], err)
	}
	return nil
}

// isLoopback tells whether an address to listen on can be reached from this machine only.
func isLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || host == "" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
