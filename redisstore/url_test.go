package redisstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

func TestAURLSaysWhichRedisAndHow(t *testing.T) {
	type found struct {
		Addrs                    []string
		DB                       int
		User, Password           string
		Master, SentinelPassword string
		Cluster, TLS             bool
	}
	for text, want := range map[string]found{
		"redis://localhost":                   {Addrs: []string{"localhost:6379"}},
		"redis://localhost/":                  {Addrs: []string{"localhost:6379"}},
		"redis://127.0.0.1:7000/3":            {Addrs: []string{"127.0.0.1:7000"}, DB: 3},
		"redis://h?db=4":                      {Addrs: []string{"h:6379"}, DB: 4},
		"redis://[::1]":                       {Addrs: []string{"[::1]:6379"}},
		"redis://[::1]:7000":                  {Addrs: []string{"[::1]:7000"}},
		"redis://u:p%40ss%2Fw@h":              {Addrs: []string{"h:6379"}, User: "u", Password: "p@ss/w"},
		"redis://:secret@h":                   {Addrs: []string{"h:6379"}, Password: "secret"},
		"rediss://h":                          {Addrs: []string{"h:6379"}, TLS: true},
		"unix:///run/redis.sock":              {Addrs: []string{"/run/redis.sock"}},
		"unix:///run/redis.sock?db=2":         {Addrs: []string{"/run/redis.sock"}, DB: 2},
		"unix://:secret@/run/redis.sock":      {Addrs: []string{"/run/redis.sock"}, Password: "secret"},
		"redis+sentinel://[::1],[::2]:5/main": {Addrs: []string{"[::1]:26379", "[::2]:5"}, Master: "main"},
		"redis+sentinel://a/main":             {Addrs: []string{"a:26379"}, Master: "main"},
		"redis+sentinel://a,b:7,c/main":       {Addrs: []string{"a:26379", "b:7", "c:26379"}, Master: "main"},
		"rediss+sentinel://u:p@a:1/m?db=5":    {Addrs: []string{"a:1"}, User: "u", Password: "p", Master: "m", DB: 5, TLS: true},
		"redis+sentinel://a/m?sentinel_username=x&sentinel_password=y": {Addrs: []string{"a:26379"}, Master: "m", SentinelPassword: "y"},
		"redis+cluster://a,b:7001":                                     {Addrs: []string{"a:6379", "b:7001"}, Cluster: true},
		"rediss+cluster://:p@a":                                        {Addrs: []string{"a:6379"}, Password: "p", Cluster: true, TLS: true},
	} {
		t.Run(text, func(t *testing.T) {
			o, err := redisstore.ParseURL(text)
			require.NoError(t, err)
			require.Equal(t, want, found{
				Addrs: o.Addrs, DB: o.DB, User: o.Username, Password: o.Password, Master: o.MasterName, SentinelPassword: o.SentinelPassword,
				Cluster: o.IsClusterMode, TLS: o.TLSConfig != nil,
			})
		})
	}
}

func TestAURLThatCannotBeMeantIsRefusedWithoutItsPassword(t *testing.T) {
	for text, reason := range map[string]string{
		"":                                "no host",
		"localhost:6379":                  "unknown scheme",
		"hunter2@localhost:6379":          "not a URL",
		"hunter2:hunter2@localhost":       "unknown scheme",
		"redis:hunter2:hunter2@h":         "no host",
		"http://hunter2@h":                "unknown scheme",
		"redis2://hunter2@h":              "unknown scheme",
		"redis://":                        "no host",
		"redis:///1":                      "no host",
		"redis://h/hunter2":               "database is not a number",
		"redis://h/-1":                    "database is not a number",
		"redis://h?db=hunter2":            "database is not a number",
		"redis://h?hunter2=1":             "unknown parameter",
		"redis://h#hunter2":               "%23",
		"redis://u:hunter2/@h":            "database is not a number",
		"redis://u:1/hunter2@h":           "database is not a number",
		"redis://u:1?hunter2@h":           "unknown parameter",
		"redis://u:1#hunter2@h":           "%23",
		"redis://u:hunter2%zz@h":          "not a URL",
		"redis://:hunter2@a,b":            "several hosts",
		"unix://hunter2/run/s":            "absolute",
		"unix://":                         "absolute",
		"redis+sentinel://:hunter2@a":     "master's name",
		"redis+sentinel:///m":             "no host",
		"redis+sentinel://a,,b/m":         "no host",
		"redis+cluster://:hunter2@a/1":    "database 0 only",
		"redis+cluster://:hunter2@a?db=1": "database 0 only",
		"redis+nonsense://:hunter2@a":     "unknown scheme",
	} {
		t.Run(text, func(t *testing.T) {
			_, err := redisstore.ParseURL(text)
			require.ErrorContains(t, err, reason)
			require.Equal(t, router.Invalid, router.ErrorCode(err))
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestAnErrorOfConnectingSaysNothingOfThePassword(t *testing.T) {
	for _, url := range []string{"redis://user:hunter2@127.0.0.1:1", "redis+cluster://user:hunter2@127.0.0.1:1", "unix://user:hunter2@/nowhere/s"} {
		_, err := redisstore.Open(t.Context(), redisstore.Config{URL: url})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
