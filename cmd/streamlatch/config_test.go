package main

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// load reads the settings of serve, or of dev, from flags, an environment and the text of a file.
func load(t testing.TB, dev bool, args, environ []string, file string) (effective, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	addSettingFlags(flags, settings(dev))
	if file != "" {
		path := filepath.Join(t.TempDir(), "config.yaml")
		require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
		args = append([]string{"--config", path}, args...)
	}
	require.NoError(t, flags.Parse(args))
	e, err := loadConfig(flags, environ, dev)
	if err != nil {
		err = usagef("%s", hideFolder(err.Error()))
	}
	return e, err
}

// hideFolder leaves of the path of the test's file its name.
func hideFolder(text string) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		if at := strings.Index(word, "/config.yaml"); at >= 0 {
			start := strings.LastIndex(word[:at], "\n") + 1
			words[i] = word[:start] + word[at+1:]
		}
	}
	return strings.Join(words, " ")
}

const secretsKey = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

const aRedis = "STREAMLATCH_REDIS=redis://127.0.0.1:6379"

func TestTheDefaultsAreThoseOfTheTable(t *testing.T) {
	e, err := load(t, false, nil, []string{aRedis}, "")
	require.NoError(t, err)
	require.Equal(t, config{
		options: options{
			Listen: "127.0.0.1:8080", MetricsSubscriptions: 100,
			Store: redisstore.Config{
				URL: "redis://127.0.0.1:6379", Namespace: "sl", DedupeWindow: time.Hour, Retention: 24 * time.Hour, LogMaxBytes: 2 << 30,
				DeadLetterRetention: 30 * 24 * time.Hour, WaitTimeout: time.Second,
			},
			Router: router.Config{Lease: 3 * time.Second, MaxSends: 1024, Grace: 15 * time.Second, Version: programVersion()},
			API: httpapi.Config{
				Limits: cloudevents.Limits{MaxEventBytes: 1 << 20, MaxBatchEvents: 1000, MaxBatchBytes: 16 << 20}, MaxStreams: 1000,
				Rules: router.Rules{Delivery: router.DefaultDelivery()},
			},
		},
		logLevel: slog.LevelInfo, logFormat: "text",
	}, e.config)
}

func TestEverySettingIsAFlagAVariableAndAKey(t *testing.T) {
	keys := `[{name: a, hash: "sha256:` + strings.Repeat("0", 64) + `", scopes: [read]}]`
	files := map[string]string{"redis-ca-file": "", "redis-cert-file": "", "redis-key-file": "", "api-keys-file": keys, "secrets-key-file": secretsKey + "\n"} // read where they are named
	values := map[string]string{
		"secrets-key": secretsKey, "listen": "127.0.0.1:1", "hosts": "a,b", "api-keys": keys, "redis": "redis://x", "namespace": "n", "partitions": "3", "wait-replicas": "2", "wait-timeout": "2s",
		"retention": "2d", "log-max-bytes": "3GiB", "dedupe-window": "2h", "dead-letter-retention": "7d", "publish-rate": "2.5", "max-event-bytes": "2MiB", "max-batch-events": "7",
		"max-batch-bytes": "8MiB", "max-streams": "9", "lease": "5s", "max-sends": "11", "allow-targets": "10.0.0.0/8,::1", "allow-ports": "443,8443", "delivery-retry-schedule": "1s,2m",
		"delivery-retry-jitter": "0.5", "delivery-max-in-flight": "3", "delivery-max-backlog": "12", "delivery-breaker-failures": "4",
		"delivery-breaker-pause": "20s", "delivery-disable-after": "6d", "shutdown-grace": "1m", "log-level": "debug", "log-format": "json", "metrics-subscriptions": "7",
	}
	seen := map[string]bool{}
	for _, s := range settings(false) {
		require.False(t, seen[s.name] || seen[s.variable()], "%s is there twice", s.name)
		seen[s.name], seen[s.variable()] = true, true
		require.NotEmpty(t, s.kind, s.name)
		require.NotEmpty(t, s.help, s.name)
		require.False(t, strings.HasSuffix(s.help, "."), s.name)
		if content, isFile := files[s.name]; isFile && content == "" {
			continue
		} else if isFile {
			path := filepath.Join(t.TempDir(), "file")
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
			values[s.name] = path
		}
		value, ok := values[s.name]
		require.True(t, ok, "the test has no value for %s", s.name)
		environ := []string{aRedis}
		if s.name == "redis" {
			environ = nil
		}
		yamlValue := "'" + value + "'"
		if s.name == "api-keys" {
			yamlValue = value
		}
		byDefault, err := load(t, false, nil, []string{aRedis}, "")
		require.NoError(t, err)
		fromFlag, err := load(t, false, []string{"--" + s.name, value}, environ, "")
		require.NoError(t, err, s.name)
		fromVariable, err := load(t, false, nil, append([]string{s.variable() + "=" + value}, environ...), "")
		require.NoError(t, err, s.name)
		fromFile, err := load(t, false, nil, environ, s.name+": "+yamlValue)
		require.NoError(t, err, s.name)
		require.NotEqual(t, byDefault.config, fromFlag.config, s.name)
		require.Equal(t, fromFlag.config, fromVariable.config, s.name)
		require.Equal(t, fromFlag.config, fromFile.config, s.name)
	}
}

func TestAFlagGoesBeforeAVariableBeforeTheFileBeforeTheDefault(t *testing.T) {
	const file, variable, flag = "lease: 7s", "STREAMLATCH_LEASE=8s", "--lease=9s"
	for name, c := range map[string]struct {
		args, environ []string
		file          string
		want          time.Duration
		origin        string
	}{
		"nothing":  {nil, nil, "", 3 * time.Second, "default"},
		"file":     {nil, nil, file, 7 * time.Second, "config.yaml:1"},
		"variable": {nil, []string{variable}, file, 8 * time.Second, "STREAMLATCH_LEASE"},
		"flag":     {[]string{flag}, []string{variable}, file, 9 * time.Second, "--lease"},
		"empty":    {nil, []string{"STREAMLATCH_LEASE="}, file, 7 * time.Second, "config.yaml:1"},
		"no value": {nil, nil, "lease:\nretention: 1d", 3 * time.Second, "default"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := load(t, false, c.args, append(c.environ, aRedis), c.file)
			require.NoError(t, err)
			require.Equal(t, c.want, e.config.Router.Lease)
			require.Equal(t, c.origin, hideFolder(e.origin("lease")))
		})
	}
}

func TestAnEmptyFileIsAFile(t *testing.T) {
	for _, text := range []string{"# nothing is set\n", "{}", "---\n"} {
		e, err := load(t, false, nil, []string{aRedis}, text)
		require.NoError(t, err, text)
		require.Equal(t, "sl", e.config.Store.Namespace)
	}
}

func TestTheFileIsNamedByAFlagOrAVariable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte("namespace: filed"), 0o600))
	e, err := load(t, false, nil, []string{aRedis, configVariable + "=" + path}, "")
	require.NoError(t, err)
	require.Equal(t, "filed", e.config.Store.Namespace)
	e, err = load(t, false, nil, []string{aRedis, configVariable + "=/nosuch"}, "namespace: other")
	require.NoError(t, err)
	require.Equal(t, "other", e.config.Store.Namespace)
}

func TestListsComeRepeatedOrWithCommas(t *testing.T) {
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.1.1/32")}
	for name, c := range map[string]struct {
		args, environ []string
		file          string
	}{
		"repeated":    {args: []string{"--allow-targets", "10.0.0.0/8", "--allow-targets", "192.168.1.1"}},
		"with commas": {args: []string{"--allow-targets", "10.0.0.0/8, 192.168.1.1"}},
		"variable":    {environ: []string{"STREAMLATCH_ALLOW_TARGETS=10.0.0.0/8,192.168.1.1"}},
		"list":        {file: "allow-targets: [10.0.0.0/8, 192.168.1.1]"},
		"text":        {file: "allow-targets: 10.0.0.0/8,192.168.1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := load(t, false, c.args, append(c.environ, aRedis), c.file)
			require.NoError(t, err)
			require.Equal(t, want, e.config.Targets)
		})
	}
	e, err := load(t, false, nil, []string{aRedis}, "delivery-retry-schedule: []")
	require.NoError(t, err)
	require.Empty(t, e.config.API.Rules.Delivery.Retry.Schedule, "an empty list in the file is a value: nothing is tried twice")
}

// Each text is the whole error: it names the setting, where it came from and what is possible, and lists all that is wrong.
func TestWhatIsWrongIsNamedWithItsPlace(t *testing.T) {
	for name, c := range map[string]struct {
		args, environ []string
		file          string
		want          string
	}{
		"flag":             {args: []string{"--lease", "3"}, want: `--lease: duration "3" is not of the form "90s", "1h30m" or "7d", or longer than 292 years`},
		"variable":         {environ: []string{"STREAMLATCH_LEASE=1ms"}, want: `STREAMLATCH_LEASE: must be from 500ms to 5m, not 1ms`},
		"file":             {file: "namespace: x\n\nlease: soon", want: `config.yaml:3: lease: duration "soon" is not of the form "90s", "1h30m" or "7d", or longer than 292 years`},
		"several":          {args: []string{"--lease", "x", "--log-level", "loud"}, want: "--lease: duration \"x\" is not of the form \"90s\", \"1h30m\" or \"7d\", or longer than 292 years\n--log-level: \"loud\" is none of debug, info, warn, error"},
		"unknown key":      {file: "listen: 127.0.0.1:1\npublish_rate: 5", want: `config.yaml:2: there is no setting "publish_rate"; did you mean publish-rate?`},
		"unknown keys":     {file: "b: 1\na: 2", want: "config.yaml:1: there is no setting \"b\"\nconfig.yaml:2: there is no setting \"a\""},
		"unknown variable": {environ: []string{"STREAMLATCH_PUBLISHRATE=5", "STREAMLATCH_COLOUR=1"}, want: "STREAMLATCH_COLOUR: there is no such setting\nSTREAMLATCH_PUBLISHRATE: there is no such setting; did you mean STREAMLATCH_PUBLISH_RATE?"},
		"empty unknown":    {environ: []string{"STREAMLATCH_LEASES="}, want: "STREAMLATCH_LEASES: there is no such setting; did you mean STREAMLATCH_LEASE?"},
		"nested":           {file: "lease:\n  seconds: 3", want: `config.yaml:1: lease: must be one value of the kind "duration"`},
		"list":             {file: "lease: [3s]", want: `config.yaml:1: lease: must be one value of the kind "duration"`},
		"list of lists":    {file: "allow-targets: [[1]]", want: `config.yaml:1: allow-targets: must be a text or a number`},
		"key twice":        {file: "lease: 3s\nlease: 4s", want: "config.yaml: yaml: unmarshal errors:\n  line 2: mapping key \"lease\" already defined at line 1"},
		"two documents":    {file: "lease: 3s\n---\nlease: 4s", want: "config.yaml: line 2: holds more than one YAML document"},
		"no mapping":       {file: "- lease", want: "config.yaml: yaml: unmarshal errors:\n  line 1: cannot unmarshal !!seq into map[string]interface {}"},
		"size":             {args: []string{"--log-max-bytes", "5 apples"}, want: `--log-max-bytes: "5 apples" has no unit of B, kB, MB, GB, TB, KiB, MiB, GiB or TiB`},
		"size range":       {args: []string{"--max-event-bytes", "1"}, want: `--max-event-bytes: must be from 1024 to 67108864 bytes, not 1`},
		"no size":          {args: []string{"--max-event-bytes", "much"}, want: `--max-event-bytes: "much" is not a size such as 64MiB`},
		"huge":             {args: []string{"--log-max-bytes", "9999999TiB"}, want: `--log-max-bytes: "9999999TiB" is too large`},
		"number":           {environ: []string{"STREAMLATCH_PARTITIONS=many"}, want: `STREAMLATCH_PARTITIONS: "many" is not a whole number`},
		"range":            {file: "partitions: -1", want: `config.yaml:1: partitions: must be from 0 to 256, not -1`},
		"rate":             {file: "publish-rate: .inf", want: `config.yaml:1: publish-rate: "+Inf" is not a number of 0 or more`},
		"address":          {args: []string{"--listen", "8080"}, want: `--listen: "8080" is not an address such as 127.0.0.1:8080`},
		"port":             {args: []string{"--listen", "127.0.0.1:http"}, want: `--listen: "127.0.0.1:http" is not an address such as 127.0.0.1:8080`},
		"a target's port":  {file: "allow-ports: [443, 0]", want: `config.yaml:1: allow-ports: "0" is not a port from 1 to 65535`},
		"namespace":        {args: []string{"--namespace", "A"}, want: `--namespace: "A" must be lower-case letters, digits and hyphens, at most 32, the first not a hyphen`},
		"word":             {args: []string{"--log-format", "xml"}, want: `--log-format: "xml" is none of text, json`},
		"targets":          {args: []string{"--allow-targets", "10.0.0.1/8"}, want: `--allow-targets: allowed target "10.0.0.1/8": has bits beyond its length; did you mean 10.0.0.0/8?`},
		"schedule":         {args: []string{"--delivery-retry-schedule", "1s,0s"}, want: `--delivery-retry-schedule: the retry schedule is not valid; delivery.retry.schedule[1] is 0s; it must be above 0s and at most 30d`},
		"schedule text":    {args: []string{"--delivery-retry-schedule", ""}, want: `--delivery-retry-schedule: duration "" is not of the form "90s", "1h30m" or "7d", or longer than 292 years`},
		"jitter":           {args: []string{"--delivery-retry-jitter", "2"}, want: `--delivery-retry-jitter: the retry schedule is not valid; delivery.retry.jitter must be a number from 0 to 1`},
		"no jitter":        {args: []string{"--delivery-retry-jitter", "x"}, want: `--delivery-retry-jitter: "x" is not a number from 0 to 1`},
		"limits":           {args: []string{"--max-event-bytes", "2MiB", "--max-batch-bytes", "1MiB"}, want: `--max-event-bytes: max-event-bytes: is more than max-batch-bytes`},
		"half a pair":      {args: []string{"--redis-key-file", "x"}, want: `redis-cert-file and redis-key-file belong together; one of them is not set`},
		"no file":          {args: []string{"--redis-ca-file", "/nosuch/ca.pem"}, want: `redis-ca-file: open /nosuch/ca.pem: no such file or directory`},
		"no keys file":     {args: []string{"--api-keys-file", "/nosuch/keys"}, want: `--api-keys-file: read the keys: open /nosuch/keys: no such file or directory`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, false, c.args, append(c.environ, aRedis), c.file)
			require.EqualError(t, err, c.want)
			require.ErrorAs(t, err, &usageError{})
		})
	}
}

func TestVariablesOfServiceLinksAreNoSettings(t *testing.T) {
	_, err := load(t, false, nil, []string{
		aRedis, "STREAMLATCH_SERVICE_HOST=10.0.0.1", "STREAMLATCH_SERVICE_PORT=80", "STREAMLATCH_SERVICE_PORT_HTTP=80", "STREAMLATCH_PORT=tcp://10.0.0.1:80",
		"STREAMLATCH_PORT_80_TCP=tcp://10.0.0.1:80", "STREAMLATCH_PORT_80_TCP_PROTO=tcp", "STREAMLATCH_WEB_PORT_80_TCP_ADDR=10.0.0.1", "STREAMLATCH_SERVER=http://x", "STREAMLATCH_API_KEY=slk_x",
	}, "")
	require.NoError(t, err)
}

func TestServeNeedsARedis(t *testing.T) {
	_, err := load(t, false, nil, nil, "")
	require.EqualError(t, err, "redis is not set: say --redis URL or set STREAMLATCH_REDIS; without a Redis there is `streamlatch dev`")
}

func TestRedisIsAnyKindOfURLAndItsFaultsDoNotShowSecrets(t *testing.T) {
	for _, url := range []string{
		"redis://127.0.0.1", "rediss://user:pw@host:1/2", "unix:///run/redis.sock?db=1", "redis+sentinel://:pw@a:1,b:2/master?db=3&sentinel_password=x", "redis+cluster://a:1,b:2", "rediss+cluster://a",
	} {
		e, err := load(t, false, []string{"--redis", url}, nil, "")
		require.NoError(t, err, url)
		require.Equal(t, url, e.config.Store.URL)
	}
	for url, want := range map[string]string{
		"redis://:secret@host/x":        `--redis: the database is not a number`,
		"http://:secret@host":           `--redis: unknown scheme; known are redis, rediss, unix, redis+sentinel and redis+cluster`,
		"redis://:secret%@host":         `--redis: not a URL such as redis://127.0.0.1:6379`,
		"redis://:secret@host?passwd=x": `--redis: unknown parameter in the URL; known are db, sentinel_username and sentinel_password`,
		"redis+sentinel://:secret@a:1/": `--redis: a Sentinel URL ends in the master's name: redis+sentinel://host:26379/mymaster`,
	} {
		_, err := load(t, false, []string{"--redis", url}, nil, "")
		require.EqualError(t, err, want)
	}
}

func TestTLSFilesAreLoadedAndRefusedWhereTheyAreOfNoUse(t *testing.T) {
	folder := t.TempDir()
	certificate, key := selfSigned(t, folder)
	e, err := load(t, false, []string{"--redis", "rediss://host", "--redis-ca-file", certificate, "--redis-cert-file", certificate, "--redis-key-file", key}, nil, "")
	require.NoError(t, err)
	require.Len(t, e.config.Store.TLS.Certificates, 1)
	require.NotNil(t, e.config.Store.TLS.RootCAs)

	_, err = load(t, false, []string{"--redis-ca-file", certificate}, []string{aRedis}, "")
	require.ErrorContains(t, err, "the URL in redis does not ask for TLS")
	_, err = load(t, false, []string{"--redis-ca-file", key}, []string{aRedis}, "")
	require.ErrorContains(t, err, "holds no certificate in PEM")
	_, err = load(t, false, []string{"--redis-cert-file", key, "--redis-key-file", key}, []string{aRedis}, "")
	require.ErrorContains(t, err, "redis-cert-file and redis-key-file: ")
}

var aKey = "{name: shop, hash: \"sha256:" + strings.Repeat("ab", 32) + "\", scopes: [publish], types: [order.*]}"

func TestAPIKeysComeInlineAndFromAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	require.NoError(t, os.WriteFile(path, []byte("# ours\n- "+strings.Replace(aKey, "shop", "filed", 1)+"\n"), 0o600))
	key := httpapi.Key{Name: "shop", Hash: "sha256:" + strings.Repeat("ab", 32), Scopes: []httpapi.Scope{httpapi.PublishScope}, Types: []string{"order.*"}}
	filed := key
	filed.Name = "filed"
	e, err := load(t, false, []string{"--api-keys-file", path, "--listen", ":8080"}, []string{aRedis}, "api-keys:\n- "+aKey)
	require.NoError(t, err)
	require.Equal(t, []httpapi.Key{key, filed}, e.config.API.Keys)
}

func TestAPIKeysAreCheckedWithoutRepeatingThem(t *testing.T) {
	for text, want := range map[string]string{
		`[{name: a, hash: slk_thekeyitself, scopes: [read]}]`:   `key "a": hash must be "sha256:" and 64 hexadecimal digits, as made together with the key`,
		`[{hash: x, scopes: [read]}]`:                           `key 1 has no name`,
		`[` + strings.Replace(aKey, "publish", "root", 1) + `]`: `key "shop": scopes: "root" is none of ["publish" "consume" "read" "manage"]`,
		`[` + strings.Replace(aKey, "order.*", "a*", 1) + `]`:   `key "shop": type pattern "a*" must have a star only as a whole segment`,
		`[{name: a, key: slk_thekeyitself}]`:                    "is not a list of keys with name, hash, scopes and types, as `streamlatch key new` prints them",
		`slk_thekeyitself`:                                      "is not a list of keys with name, hash, scopes and types, as `streamlatch key new` prints them",
	} {
		_, err := load(t, false, nil, []string{aRedis, "STREAMLATCH_API_KEYS=" + text}, "")
		require.EqualError(t, err, "STREAMLATCH_API_KEYS: "+want)
	}
}

func TestSecretsKeysComeInlineAndFromAFileAndAreNeverShown(t *testing.T) {
	other := strings.Replace(secretsKey, "AQ", "Ag", 1)
	path := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(path, []byte(secretsKey+"\n"), 0o600))
	e, err := load(t, false, []string{"--secrets-key", other, "--secrets-key-file", path}, []string{aRedis}, "")
	require.NoError(t, err)
	require.Len(t, e.config.Store.Secrets.IDs(), 2)
	var printed strings.Builder
	require.NoError(t, e.print(&printed))
	require.Contains(t, printed.String(), "secrets-key: ['**** ("+e.config.Store.Secrets.IDs()[0]+")']", "the one inline is the first")
	require.NotContains(t, printed.String(), other)

	for _, args := range [][]string{{"--secrets-key", "hunter2"}, {"--secrets-key", secretsKey + "," + secretsKey}, {"--secrets-key", secretsKey, "--secrets-key-file", path}} {
		_, err := load(t, false, args, []string{aRedis}, "")
		require.ErrorContains(t, err, "secrets-key")
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), secretsKey)
	}
	require.NoError(t, os.WriteFile(path, []byte("\n"), 0o600))
	_, err = load(t, false, []string{"--secrets-key-file", path}, []string{aRedis}, "")
	require.ErrorContains(t, err, "holds no key")
}

func TestWithoutKeysOnlyLoopbackIsListenedOn(t *testing.T) {
	for address, loopback := range map[string]bool{
		"127.0.0.1:0": true, "127.9.9.9:80": true, "[::1]:80": true, "localhost:80": true, "[::ffff:127.0.0.1]:80": true,
		":80": false, "0.0.0.0:80": false, "[::]:80": false, "10.0.0.1:80": false, "example.com:80": false, "localhost.example.com:80": false,
	} {
		for _, dev := range []bool{true, false} {
			environ := []string{aRedis}
			_, err := load(t, dev, []string{"--listen", address}, environ, "")
			if loopback {
				require.NoError(t, err, address)
			} else {
				require.ErrorContains(t, err, "--listen: listen: without API keys everybody who reaches "+address+" could do everything", address)
				require.ErrorContains(t, err, "streamlatch key new")
			}
			_, err = load(t, dev, []string{"--listen", address, "--api-keys", "[" + aKey + "]"}, environ, "")
			require.NoError(t, err, address)
		}
	}
}

func TestDevHasNoRedisSettingsAndAllowsLoopback(t *testing.T) {
	e, err := load(t, true, []string{"--allow-targets", "10.0.0.0/8"}, []string{aRedis}, "wait-replicas: 2")
	require.NoError(t, err)
	require.Empty(t, e.config.Store.URL)
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, e.config.Targets)
	require.Len(t, e.ignored, 2)
	require.Equal(t, "STREAMLATCH_REDIS", e.ignored[1])
	_, stderr, code := runCommand(t, nil, "dev", "--redis", "redis://x")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "unknown flag: --redis")
}

func TestTheEffectiveConfigurationIsPrintedWithSecretsMasked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte("# a file\napi-keys:\n- "+aKey+"\nallow-targets: [10.0.0.0/8, fd00::/8]\n"), 0o600))
	environ := []string{"STREAMLATCH_REDIS=redis+sentinel://me:hunter2@a:1,b:2/master?sentinel_password=hunter3", "STREAMLATCH_PUBLISH_RATE=0.5"}
	for _, args := range [][]string{{"serve", "--print-config"}, {"config", "print"}} {
		stdout, stderr, code := runCommand(t, environ, append(args, "--config", path, "--lease", "5s", "--listen", ":8080")...)
		require.Equal(t, exitDone, code, stderr)
		golden(t, "testdata/config-print.yaml", strings.ReplaceAll(stdout, path, "config.yaml"))
		require.NotContains(t, stdout, "hunter")
	}
}

func TestURLsAreMasked(t *testing.T) {
	for url, want := range map[string]string{
		"redis://host/1":                                "redis://host/1",
		"redis://:pw@host":                              "redis://:****@host",
		"rediss://user:p%40w@host:1/2":                  "rediss://user:****@host:1/2",
		"redis://user@host":                             "redis://user@host",
		"redis+cluster://:pw@a:1,b:2":                   "redis+cluster://:****@a:1,b:2",
		"redis+sentinel://a/m?sentinel_password=x&db=1": "redis+sentinel://a/m?db=1&sentinel_password=****",
		"redis://:p%w@host":                             "****",
	} {
		require.Equal(t, want, maskURL(url))
	}
}

func TestTheLogHasTheEffectiveConfiguration(t *testing.T) {
	e, err := load(t, false, []string{"--redis", "redis://:hunter2@host", "--api-keys", "[" + aKey + "]"}, nil, "")
	require.NoError(t, err)
	var b strings.Builder
	e.log(newLogger(&b, config{logFormat: "json"}))
	require.Contains(t, b.String(), `"redis":"redis://:****@host"`)
	require.Contains(t, b.String(), `"api-keys":"shop (publish)"`)
	require.Contains(t, b.String(), `"lease":"3s"`)
	require.NotContains(t, b.String(), "hunter2")
	require.NotContains(t, b.String(), "abab")

	e, err = load(t, true, []string{"--lease", "4s"}, nil, "")
	require.NoError(t, err)
	b.Reset()
	e.log(newLogger(&b, config{logFormat: "text"}))
	require.Regexp(t, `level=INFO msg=configuration lease=4s\n$`, b.String())
}

func TestAFlagIsGivenOnce(t *testing.T) {
	_, stderr, code := runCommand(t, nil, "serve", "--lease", "3s", "--lease", "4s")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "is given twice")
}

func TestSizesAreReadInEveryUnit(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1": 1, "1b": 1, "1kB": 1000, "1 KiB": 1024, "1.5MiB": 3 << 19, "2GiB": 2 << 30, "1GB": 1e9, "1TiB": 1 << 40, "1tb": 1e12, "3mb": 3e6} {
		n, err := parseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, n, text)
	}
}

func TestTheNearestNameIsFound(t *testing.T) {
	names := []string{"listen", "lease", "log-level", "publish-rate"}
	for name, want := range map[string]string{"listn": "listen", "loglevel": "log-level", "publish_rate": "publish-rate", "zebra-crossing": "", "x": ""} {
		require.Equal(t, want, nearest(name, names), name)
	}
}
