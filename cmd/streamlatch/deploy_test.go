package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

// composeFile is what tests look at of docker-compose.yml.
type composeFile struct {
	Services map[string]struct {
		Image       string            `yaml:"image"`
		Build       string            `yaml:"build"`
		Command     []string          `yaml:"command"`
		Environment map[string]string `yaml:"environment"`
		Volumes     []string          `yaml:"volumes"`
		Ports       []string          `yaml:"ports"`
		Deploy      struct {
			Replicas int `yaml:"replicas"`
		} `yaml:"deploy"`
		StopGracePeriod string `yaml:"stop_grace_period"`
	} `yaml:"services"`
}

func readCompose(t testing.TB) (c composeFile) {
	t.Helper()
	text, err := os.ReadFile("../../docker-compose.yml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &c))
	return c
}

// The compose file's command line and variables are run through the program's own reading of settings: what it does not know, or could not use, fails.
func TestTheComposeFileFitsTheProgram(t *testing.T) {
	replica := readCompose(t).Services["streamlatch"]
	environ := []string{}
	for name, value := range replica.Environment {
		require.True(t, slices.ContainsFunc(settings(false), func(s setting) bool { return s.variable() == name }), "%s is no setting", name)
		if variable := regexp.MustCompile(`^\$\{(\w+):\?.*\}$`).FindStringSubmatch(value); variable != nil {
			require.Equal(t, name, variable[1], "what the user gives is the setting itself")
			value = "[" + aKey + "]"
		}
		require.NotContains(t, value, "$", "%s is filled in from elsewhere", name)
		environ = append(environ, name+"="+value)
	}
	require.Equal(t, "serve", replica.Command[0])
	stdout, stderr, code := runCommand(t, environ, append(replica.Command, "--print-config")...)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stdout, "listen: :8080 # --listen")
	require.Equal(t, 3, replica.Deploy.Replicas)
	require.Equal(t, "20s", replica.StopGracePeriod, "longer than STREAMLATCH_SHUTDOWN_GRACE")
	require.Equal(t, "15s", replica.Environment["STREAMLATCH_SHUTDOWN_GRACE"])
}

func TestTheComposeFilesRedisIsOneThatServeTakes(t *testing.T) {
	command := strings.Join(readCompose(t).Services["redis"].Command, " ")
	for _, want := range []string{"--appendonly yes", "--appendfsync everysec", "--maxmemory-policy noeviction"} {
		require.Contains(t, command, want)
	}
}

func TestTheBalancerKnowsTheReplicas(t *testing.T) {
	compose := readCompose(t)
	balancer := compose.Services["balancer"]
	require.Equal(t, []string{"127.0.0.1:8080:8080"}, balancer.Ports, "nobody else reaches it")
	source, _, _ := strings.Cut(balancer.Volumes[0], ":")
	config, err := os.ReadFile(filepath.Join("../..", source))
	require.NoError(t, err)
	require.Contains(t, string(config), "server-template replica 3 streamlatch:8080")
	require.Contains(t, string(config), "uri /readyz")
	require.Contains(t, compose.Services, "streamlatch", "the name that it looks up")
}

func TestTheDockerfileBuildsThisProgram(t *testing.T) {
	text, err := os.ReadFile("../../Dockerfile")
	require.NoError(t, err)
	file := string(text)
	build := regexp.MustCompile(`(?m)^RUN CGO_ENABLED=0 go build .*-X main\.version=\$\{VERSION\}.* -o (\S+) (\S+)$`).FindStringSubmatch(file)
	require.NotNil(t, build, "a static build that sets the version")
	_, err = os.Stat(filepath.Join("../..", build[2], "main.go"))
	require.NoError(t, err)
	require.Contains(t, file, "COPY --from=build "+build[1]+" "+build[1]+"\n")
	require.Contains(t, file, `ENTRYPOINT ["`+build[1]+`"]`)
	require.Regexp(t, `(?m)^USER [1-9]\d*:[1-9]\d*$`, file)

	module, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(module))[1]
	require.Contains(t, file, "FROM golang:"+goVersion+"-")

	p, _, _ := testProcess()
	root, _ := p.rootCommand()
	for _, m := range regexp.MustCompile(`(?m)CMD \[(.*)\]$`).FindAllStringSubmatch(file, -1) {
		var words []string
		require.NoError(t, yaml.Unmarshal([]byte("["+m[1]+"]"), &words))
		found, _, err := root.Find(slices.DeleteFunc(words, func(w string) bool { return w == build[1] }))
		require.NoError(t, err)
		require.NotEqual(t, root, found)
	}
}

// The ACL rule of the documentation is all that a server needs of Redis: it routes, delivers, retries, trims and deletes under it, and Redis notes no refusal.
func TestTheDocumentedACLIsEnough(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	rule := regexp.MustCompile("(?s)```acl\nACL (SETUSER streamlatch .*?)\n```").FindStringSubmatch(string(text))
	require.NotNil(t, rule)
	server := redistest.Start(t)
	admin := redistest.Client(t, server.Addr())
	words := []any{"ACL"}
	for word := range strings.FieldsSeq(rule[1]) {
		words = append(words, word)
	}
	require.NoError(t, admin.Do(t.Context(), words...).Err())

	hook, listener, wait := startListen(t, "-n", "3", "--secret", listenSecret)
	listener.now = newProcess().now
	api, stop := startServe(t, "--redis", "redis://streamlatch:PASSWORD@"+server.Addr(), "--allow-targets", "127.0.0.0/8", "--retention", "1s", "--dedupe-window", "1s")
	environ := []string{serverVariable + "=" + api}
	for _, args := range [][]string{
		{"subscriptions", "create", "--name", "good", "--url", hook, "--secret", listenSecret},
		{"subscriptions", "create", "--name", "dead", "--url", "http://127.0.0.1:1/", "--retry-schedule", "1ms"},
		{"publish", "testdata/events.json"},
		{"subscriptions", "show", "good"},
		{"tail", "--since", "1h", "-n", "1"},
	} {
		_, stderr, code := runCommand(t, environ, args...)
		require.Equal(t, exitDone, code, "%v: %s", args, stderr)
	}
	_, code := wait()
	require.Equal(t, exitDone, code)
	_, stderr, code := runCommand(t, environ, "subscriptions", "delete", "good", "dead")
	require.Equal(t, exitDone, code, stderr)
	require.NotContains(t, stop(), "NOPERM")
	refusals, err := admin.Do(t.Context(), "ACL", "LOG").Slice()
	require.NoError(t, err)
	require.Empty(t, refusals)

	other := redis.NewClient(&redis.Options{Addr: server.Addr(), Username: "streamlatch", Password: "PASSWORD", Protocol: 2, DisableIdentity: true})
	defer func() { require.NoError(t, other.Close()) }()
	for _, command := range [][]any{{"GET", "other"}, {"FLUSHALL"}, {"CONFIG", "GET", "*"}, {"KEYS", "*"}, {"ACL", "WHOAMI"}, {"SCRIPT", "FLUSH"}} {
		require.ErrorContains(t, other.Do(t.Context(), command...).Err(), "NOPERM", command)
	}
}

// startServe runs serve in this process, on a free port; stop ends it and returns its log.
func startServe(t testing.TB, args ...string) (url string, stop func() string) {
	t.Helper()
	p, _, stderr := testProcess()
	p.start, p.pause = newProcess().start, pause
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan int, 1)
	go func() {
		ended <- p.run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0", "--shutdown-grace", "1s"}, args...))
	}()
	said := stderr.await(t, "msg=listening address=")
	_, rest, _ := strings.Cut(said, "msg=listening address=")
	address, _, _ := strings.Cut(rest, " ")
	stop = func() string {
		cancel(errInterrupted)
		require.Equal(t, exitDone, <-ended, stderr.String())
		ended <- exitDone // for whoever stops it again
		return stderr.String()
	}
	t.Cleanup(func() { stop() })
	return "http://" + address, stop
}
