package scripts_test

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/scripts"
)

var (
	headerPattern = regexp.MustCompile(`(?s)^--\[\[\n(.*?)\n\]\]\n(.*)$`)
	fixedKey      = regexp.MustCompile(`KEYS\[(\d+)\]`)
	fixedArg      = regexp.MustCompile(`ARGV\[(\d+)\]`)
	listed        = regexp.MustCompile(`(?m)^  (\d+)(…?)\s`)
	word          = regexp.MustCompile(`(?:return|RETURNS)[^\n]*`)
	quoted        = regexp.MustCompile(`['"]([a-z_-]{3,})['"]`)
)

// shared are parts of scripts.
var shared = []string{"common", "partial", "condition", "firing", "shortcut", "join", "leasing"}

func luaFiles(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	names, err := fs.Glob(os.DirFS("."), "*.lua")
	require.NoError(t, err)
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		found[strings.TrimSuffix(name, ".lua")] = string(text)
	}
	return found
}

func numbersOf(t *testing.T, section string) (highest int, open bool) {
	t.Helper()
	for _, m := range listed.FindAllStringSubmatch(section, -1) {
		n, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		require.Equal(t, highest+1, n, "entries are numbered in order")
		highest, open = n, m[2] != ""
	}
	return highest, open
}

func TestEveryScriptIsInTheSet(t *testing.T) {
	set := map[string]bool{}
	for _, name := range shared {
		set[name] = true
	}
	for _, s := range scripts.Load(scripts.Redis).All() {
		set[s.Name] = true
	}
	for name := range luaFiles(t) {
		require.True(t, set[name], "%s.lua is not loaded", name)
		delete(set, name)
	}
	require.Empty(t, set)
}

func TestHeadersNameEveryKeyAndArgument(t *testing.T) {
	for name, text := range luaFiles(t) {
		if slices.Contains(shared, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			m := headerPattern.FindStringSubmatch(text)
			require.NotNil(t, m, "the file opens with a header")
			header, body := m[1], m[2]
			keys, rest, ok := strings.Cut(header, "\nARGV")
			require.True(t, ok, "the header has ARGV")
			_, keys, ok = strings.Cut(keys, "\nKEYS\n")
			require.True(t, ok, "the header has KEYS")
			args, _, ok := strings.Cut(rest, "\nRETURNS  ")
			require.True(t, ok, "the header has RETURNS")
			highestKey, _ := numbersOf(t, keys)
			highestArg, _ := numbersOf(t, args)
			checkUse(t, "KEYS", fixedKey, body, highestKey)
			checkUse(t, "ARGV", fixedArg, body, highestArg)
		})
	}
}

// checkUse holds that the body uses no index that the header does not list, and every returned word is in the header.
func checkUse(t *testing.T, kind string, pattern *regexp.Regexp, body string, highest int) {
	t.Helper()
	for _, m := range pattern.FindAllStringSubmatch(body, -1) {
		n, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		require.LessOrEqual(t, n, highest, "%s[%d] is not in the header", kind, n)
	}
}

func TestReturnedWordsAreInTheHeader(t *testing.T) {
	for name, text := range luaFiles(t) {
		if slices.Contains(shared, name) {
			continue
		}
		m := headerPattern.FindStringSubmatch(text)
		_, returns, _ := strings.Cut(m[1], "RETURNS")
		for _, line := range word.FindAllString(m[2], -1) {
			for _, q := range quoted.FindAllStringSubmatch(line, -1) {
				if strings.Contains(line, "redis.call") {
					continue
				}
				require.Contains(t, returns, `"`+q[1]+`"`, "%s returns %q, which its header does not say", name, q[1])
			}
		}
	}
}

func TestScriptsStayInThePortableSubset(t *testing.T) {
	banned := regexp.MustCompile(`cjson|cmsgpack|struct\.|bit\.|tostring|goto |math\.random|[^i]pairs\(`)
	for name, text := range luaFiles(t) {
		_, body, _ := strings.Cut(text, "]]")
		require.NotRegexp(t, banned, body, name)
	}
}

func TestOnlyScriptsThatStoreMoreAreRefusedWhenMemoryIsFull(t *testing.T) {
	set := scripts.Load(scripts.Redis)
	for _, s := range set.All() {
		allowed := strings.HasPrefix(s.Source, "#!lua flags=allow-oom\n")
		require.Equal(t, s != set.Append && s != set.Define && s != set.Replay, allowed, s.Name)
	}
	for _, s := range scripts.Load(scripts.Plain).All() {
		require.False(t, strings.HasPrefix(s.Source, "#!"), s.Name)
	}
}

// Each call of a script makes all of its functions anew: evaluating triggers has so many that they cost more than the rest of apply.
func TestApplyWithoutTriggersDoesNotCarryTheirEvaluation(t *testing.T) {
	for _, d := range []scripts.Dialect{scripts.Redis, scripts.Plain} {
		set := scripts.Load(d)
		require.Contains(t, set.ApplyWork.Source, "local function read_work(")
		require.NotContains(t, set.Apply.Source, "local function read_work(")
		require.Less(t, 3*strings.Count(set.Apply.Source, "function"), strings.Count(set.ApplyWork.Source, "function"))
	}
}

var functionName = regexp.MustCompile(`(?m)^local function (\w+)`)

func TestOfWhatIsSharedAScriptHasWhatItCallsAndNothingElse(t *testing.T) {
	functions := functionName.FindAllStringSubmatch(luaFiles(t)["common"], -1)
	require.NotEmpty(t, functions)
	for _, s := range scripts.Load(scripts.Plain).All() {
		for _, f := range functions {
			definition, rest, defined := strings.Cut(s.Source, "local function "+f[1]+"(")
			require.Equal(t, strings.Contains(definition+rest, f[1]+"("), defined, "%s in %s", f[1], s.Name)
			require.NotContains(t, definition, f[1]+"(", "%s calls it before it is there", s.Name)
		}
	}
}
