package redisstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A mutation takes something out of a script, or changes it. The tests of this package must notice.
type mutation struct {
	script   string
	old, new string // old occurs once in the script
}

func (m mutation) name() string {
	text := strings.Join(strings.Fields(m.old), " ")
	if m.new == "" {
		return m.script + ": without " + text
	}
	return m.script + ": " + text + " → " + strings.Join(strings.Fields(m.new), " ")
}

// TestEveryMutationOfTheScriptsIsNoticed makes each mutation and runs this package's tests on it: the model's first, then all others. It takes the
// better part of an hour, so it has to be asked for: STREAMLATCH_MUTATE=1, or a pattern that the mutation's name matches.
func TestEveryMutationOfTheScriptsIsNoticed(t *testing.T) {
	wanted := os.Getenv("STREAMLATCH_MUTATE")
	if wanted == "" {
		t.Skip("mutations take long: STREAMLATCH_MUTATE=1 makes all, STREAMLATCH_MUTATE='^claim:' some of them")
	}
	if wanted == "1" {
		wanted = ""
	}
	pattern := regexp.MustCompile(wanted)
	require.False(t, noticed(t, "", nil), "the tests pass without a mutation")
	for _, m := range mutations(t) {
		if pattern.MatchString(m.name()) {
			t.Run(m.name(), func(t *testing.T) { require.True(t, noticed(t, m.script, overlay(t, m)), "no test notices") })
		}
	}
}

// The list of mutations stays in step with the scripts.
func TestEveryMutationCanBeMade(t *testing.T) {
	list := mutations(t)
	require.Greater(t, len(list), 100)
	for _, m := range list {
		text := source(t, m.script)
		require.Equal(t, 1, strings.Count(text, m.old), "%s", m.name())
		require.NotEqual(t, text, strings.Replace(text, m.old, m.new, 1))
	}
}

func source(t *testing.T, script string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "scripts", script+".lua"))
	require.NoError(t, err)
	return string(text)
}

// mutations are those that are listed, and one for each statement that writes: it is taken out.
func mutations(t *testing.T) []mutation {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "scripts", "*.lua"))
	require.NoError(t, err)
	var list []mutation
	for _, file := range files {
		script := strings.TrimSuffix(filepath.Base(file), ".lua")
		text := source(t, script)
		for _, statement := range writes(text) {
			if strings.Count(text, statement) == 1 && harmless[mutation{script: script, old: statement}.name()] == "" {
				list = append(list, mutation{script: script, old: statement})
			}
		}
	}
	return slices.Concat(list, listed, listedOfTriggers)
}

var writing = regexp.MustCompile(`^\s*(?:redis\.call|call_many|hold|release|keep|look)\(`)

// writes finds the statements that are calls of a command, or of a function that makes some.
func writes(text string) (statements []string) {
	lines := strings.SplitAfter(text, "\n")
	for i := 0; i < len(lines); i++ {
		if !writing.MatchString(lines[i]) {
			continue
		}
		statement := lines[i]
		for strings.Count(statement, "(") > strings.Count(statement, ")") {
			i++
			statement += lines[i]
		}
		statements = append(statements, statement)
	}
	return statements
}

// overlay makes a file for go's -overlay that puts the mutated script in the place of the script.
func overlay(t *testing.T, m mutation) []string {
	t.Helper()
	original, err := filepath.Abs(filepath.Join("..", "scripts", m.script+".lua"))
	require.NoError(t, err)
	mutated := filepath.Join(t.TempDir(), m.script+".lua")
	require.NoError(t, os.WriteFile(mutated, []byte(strings.Replace(source(t, m.script), m.old, m.new, 1)), 0o600))
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutated}})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	return []string{"-overlay", file}
}

// noticed runs the tests and tells whether one fails.
func noticed(t *testing.T, script string, flags []string) bool {
	t.Helper()
	model := "TestTheStoreHolds"
	if slices.Contains(evaluation, script) {
		model = "TestTheScriptDoes"
	}
	for _, which := range [][]string{
		{"-run", model},
		{"-skip", model + "|TestEveryMutation"},
	} {
		args := append([]string{"test", "-count=1", "-failfast", "-timeout=5m"}, flags...)
		args = append(append(args, which...), ".", "-rapid.nofailfile", "-rapid.shrinktime=1ms")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Env = append(os.Environ(), "STREAMLATCH_MUTATE=")
		output, err := cmd.CombinedOutput()
		require.NotContains(t, string(output), "[build failed]")
		if _, failed := errors.AsType[*exec.ExitError](err); failed {
			first, _, _ := strings.Cut(string(output[max(strings.Index(string(output), "--- FAIL"), 0):]), "\n")
			t.Log("noticed by", first)
			return true
		}
		require.NoError(t, err)
	}
	return false
}

// harmless are statements that write and can go without a change that matters, and why they are there.
var harmless = map[string]string{}

var listed = []mutation{
	{"common", "return tonumber(aseq) <= tonumber(bseq)", "return tonumber(aseq) < tonumber(bseq)"},
	{"common", "if redis.call('HSETNX', holds, id .. ' ' .. holder, '') == 0 then", "redis.call('HSETNX', holds, id .. ' ' .. holder, '')\n  if false then"},
	{"common", "if redis.call('HINCRBY', copies, '#' .. id, 1) == 1 then", "if redis.call('HINCRBY', copies, '#' .. id, 1) >= 1 then"},
	{"common", "if redis.call('HDEL', holds, id .. ' ' .. holder) == 1 then", "if redis.call('HDEL', holds, id .. ' ' .. holder) >= 0 then"},
	{"common", "if redis.call('HINCRBY', copies, '#' .. id, -1) == 0 then", "if redis.call('HINCRBY', copies, '#' .. id, -1) <= 1 then"},
	{"common", "if redis.call('ZCARD', leases) < max then", "if true then"},
	{"common", "if redis.call('LLEN', fresh) > 0 then", "if false then"},
	{"common", "if lease and (not at or lease < at) then", "if lease and not at then"},
	{"common", "if lease and (not at or lease < at) then", "if false then"},

	{"reseal", "if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then", "if false then"},
	{"common", "string.rep('0', 20 - #ms) .. ms", "ms"},
	{"common", "string.rep('0', 20 - #seq) .. seq", "seq"},
	{"common", "results.faults == 0 then", "true then"},
	{"common", "  if results.delivered then", "  if false then"},
	{"common", "elseif not open and failures >= breaker.threshold then", "elseif not open then"},
	{"common", "elseif not open and failures >= breaker.threshold then", "elseif failures >= breaker.threshold then"},
	{"common", "math.min(breaker.pause * 2 ^ pauses, breaker.longest)", "breaker.pause * 2 ^ pauses"},
	{"common", "math.min(breaker.pause * 2 ^ pauses, breaker.longest)", "breaker.pause"},
	{"common", "pauses = verdict == 'fault' and pauses + 1 or pauses", "pauses = pauses + 1"},
	{"common", "tonumber(s[2] or t)", "t"},
	{"common", "open and math.max(t - since, 0) or 0", "math.max(t - since, 0)"},

	{"append", "  ms, seq = floor, tonumber(s[2])", "  seq = tonumber(s[2])"},
	{"append", "tonumber(s[4 + slot] or -1) == b and KEYS[3 + slot] or nil", "KEYS[3 + slot]"},
	{"append", "for b = bucket - 2, bucket do", "for b = bucket - 1, bucket do"},
	{"append", "if ms <= floor then", "if ms < floor then"},
	{"append", "      if record then\n        known[i], where[i] = record, key\n      end", "      known[i], where[i] = record or nil, key"},
	{"append", "if next(known) then", "if false then"},
	{"append", "#known[i] > 26 and string.sub(known[i], 27) or redis.call", "redis.call"},
	{"append", "nonce, first, unpack(ARGV", "nonce, previous, unpack(ARGV"},
	{"append", "ARGV[i] .. first", "ARGV[i] .. previous"},
	{"append", "(#events - size) / 64 or #events", "0 or #events"},
	{"append", "'n', before, 'e', events", "'n', '0', 'e', events"},
	{"append", "stored = stored + ARGV[i]", "stored = stored"},
	{"append", "return { 'stored', previous,", "return { 'stored', first,"},

	{"apply", "(s[1] or '0-0') ~= from or (s[2] or '') ~= from_target", "(s[2] or '') ~= from_target"},
	{"apply", "(s[1] or '0-0') ~= from or (s[2] or '') ~= from_target", "(s[1] or '0-0') ~= from"},
	{"apply", "not entry_at(log, to) then", "false then"},
	{"append", "math.max(now(), tonumber(s[9] or 0))", "now()"},
	{"apply", "if (s[3] or '') ~= token and (settles or not older_than_changes()) then", "if false then"},
	{"apply", "if (s[3] or '') ~= token and (settles or not older_than_changes()) then", "if (s[3] or '') ~= token then"},
	{"apply", "return first and at_or_before(to, last)", "return at_or_before(to, last)"},
	{"apply", "return first and at_or_before(to, last)", "return true"},
	{"apply", "if tonumber(version) > mine then", "if tonumber(version) >= mine then"},
	{"apply", "type(length) == 'table' or type(flying)", "type(flying)"},
	{"apply", "or type(flying) == 'table' or", "or"},
	{"apply", "or type(counters) == 'table' then", "then"},
	{"apply", "length == 0 and not paused(ARGV[arg]) and", "not paused(ARGV[arg]) and"},
	{"apply", "tonumber(ARGV[arg + 2]) - flying or 0", "tonumber(ARGV[arg + 2]) or 0"},
	{"apply", "take = open(ARGV[arg]) and 0 or", "take ="},
	{"apply", "math.min(room, tonumber(ARGV[arg + 3]), count)", "math.min(tonumber(ARGV[arg + 3]), count)"},
	{"apply", "queue.take < math.min(queue.count, queue.room) and int(t) or expires", "expires"},
	{"apply", "queue.take < math.min(queue.count, queue.room) and int(t) or expires", "int(t)"},
	{"apply", "if queue.room > 0 and queue.count > 0 then", "if queue.count > 0 then"},
	{"apply", "if queue.room > 0 and queue.count > 0 then", "if queue.room > 0 then"},
	{"apply", "redis.call('ZADD', at, 'LT', unpack", "redis.call('ZADD', at, unpack"},
	{"apply", "    lease(queue, expires)\n", ""},
	{"apply", "length + flying + retrying + behind + count - cap", "flying + retrying + behind + count - cap"},
	{"apply", "length + flying + retrying + behind + count - cap", "length + retrying + behind + count - cap"},
	{"apply", "length + flying + retrying + behind + count - cap", "length + flying + behind + count - cap"},
	{"apply", "length + flying + retrying + behind + count - cap", "length + flying + retrying + count - cap"},
	{"apply", "if crowd > most_crowded then", "if false then"},
	{"apply", "type(retrying) == 'table' or type(behind) == 'table'", "type(behind) == 'table'"},
	{"apply", "type(retrying) == 'table' or type(behind) == 'table'", "type(retrying) == 'table'"},
	{"apply", "holders[id] = holders[id] + 1", "holders[id] = 1"},
	{"apply", "spans and ms == last_ms and spans", "spans and spans"},
	{"apply", "      bury(queue)\n", ""},
	{"apply", "copy_events()\n\nlocal function look", "\nlocal function look"},
	{"apply", "    enqueue(queue)\n", ""},

	{"claim", "  take_expired(queue, want, tried)\n", ""},
	{"claim", "{ entry, attempt + 1 }", "{ entry, attempt }"},
	{"claim", "max - redis.call('ZCARD', queue.leases))", "max)"},
	{"claim", "math.min(want - #tried, max", "math.min(want, max"},
	{"claim", "room - math.min(fresh, math.floor(room / 2))", "room"},
	{"claim", "room - (#tried - before)", "room"},
	{"leasing", "  if at_or_before(entry, horizon) then", "  if false then"},
	{"claim", "if redis.call('HEXISTS', gone, queue.subscription) == 1 or", "if"},
	{"claim", "== 1 or redis.call('HEXISTS', paused, queue.subscription) == 1 then", "== 1 then"},
	{"claim", "    reschedule(KEYS[i]", "    ;(function() end)(KEYS[i]"},
	{"leasing", "redis.call('HSETNX', queue.lanes, lane, entry) == 1", "true"},
	{"leasing", "looked_at < math.max(want, most_looked_at)", "looked_at < want"},
	{"leasing", "int(want - #fresh)", "int(want)"},
	{"leasing", "if #fresh == 0 and not has_lanes(popped) then", "if not has_lanes(popped) then"},
	{"leasing", "if #fresh == 0 and not has_lanes(popped) then", "if #fresh == 0 then"},
	{"claim", "begin_probe(queue.breaker, tried[1] and tried[1][1] or fresh[1], expires)", "begin_probe(queue.breaker, fresh[1] or tried[1][1], expires)"},
	{"claim", "return math.min(queue.want, 1), queue.gate", "return queue.want, queue.gate"},
	{"claim", "return open and 0 or queue.want,", "return queue.want,"},
	{"claim", "math.max(open or 0, queue.gate)", "queue.gate"},
	{"claim", "      gate = math.max(gate, tonumber(expires))\n", ""},
	{"claim", "any_open and ARGV[arg + 5] == 'here' and", "any_open and"},
	{"claim", "wait > 0 and t + wait or 0", "0"},
	{"claim", "wait > 0 and t + wait or 0", "t + wait"},
	{"common", "'{\"at\":' .. int(t) .. ',\"outcome\":\"expired\"}\\n'", "''"},

	{"settle", "return expires == tonumber(name)", "return true"},
	{"settle", "return expires > t and has_receipt", "return has_receipt"},
	{"settle", "expires > t and has_receipt(queue.attempts, entry, string.sub(name, 2))", "expires > t"},
	{"settle", "      late[#late + 1] = i\n", ""},
	{"extend", "local held = ends and ends > t and", "local held = ends and"},
	{"extend", "ends > t and has_receipt(KEYS[6], entry, ARGV[i + 1])", "ends > t"},
	{"extend", "not gone and tonumber(", "tonumber("},
	{"extend", "progress = ARGV[4] ~= '' and ARGV[4] or progress", "progress = ARGV[4]"},
	{"extend", "note = ARGV[5] ~= '' and string.sub(ARGV[5], 2) or note", "note = ''"},
	{"extend", "  reschedule(KEYS[2]", "  ;(function() end)(KEYS[2]"},
	{"claim", "if receipt ~= '' then", "if false then"},
	{"common", "return string.match(redis.call('HGET', attempts, receipt_field(entry)) or '', '^(%S*)') == receipt", "return true"},
	{"settle", "tried = redis.call('HLEN', KEYS[i + 4]) > 0", "tried = false"},
	{"settle", "if queue.copied and at_or_before(entry, horizon) then", "if false then"},
	{"settle", "if queue.copied and at_or_before(entry, horizon) then", "if queue.copied then"},
	{"settle", "int(t + tonumber(delay))", "int(t)"},
	{"settle", "queue.gone and {} or redis.call", "redis.call"},
	{"settle", "queue.gone and {} or n > 0 and", "n > 0 and"},
	{"settle", "held[i] and (held[i] == lease or tonumber(held[i]) == expires)", "held[i]"},
	{"settle", "if queue.tried or queue.copied then", "if queue.tried then"},
	{"settle", "if queue.tried or queue.copied then", "if queue.copied then"},
	{"settle", "queue.delivered + #records, true", "queue.delivered + #records, nil"},
	{"settle", "local at = not still and reschedule", "local at = reschedule"},
	{"settle", "queue.gone or redis.call('HEXISTS', paused, queue.subscription) == 1", "queue.gone"},
	{"apply", "length == 0 and not paused(ARGV[arg]) and", "length == 0 and"},
	{"settle", "int(math.max(0, at - t))", "int(at - t)"},
	{"settle", "    detail = detail + told\n", ""},
	{"settle", "if #before > most_failures then", "if false then"},
	{"settle", "if queue.recorded > queue.keep then", "if false then"},
	{"find", "      low = middle + 1", "      low = middle + 2"},
	{"find", "    if string.match(record, '^%S*') == without_lane(entry) then", "    if true then"},
	{"hasten", "redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 or not", "not"},
	{"hasten", "if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 or not redis.call('ZSCORE', KEYS[4], ARGV[3]) then", "if false then"},
	{"redrive", "if redis.call('HEXISTS', gone, queue.subscription) == 0 then", "if true then"},
	{"redrive", "      if record then", "      if true then"},
	{"redrive", "  if at_or_before(entry, horizon) then", "  if false then"},
	{"redrive", "return '0\\n' .. lines", "return record"},
	{"redrive", "    reschedule(KEYS[i]", "    ;(function() end)(KEYS[i]"},
	{"redrive", "int(t - 1) .. string.format('.%03d', place % 1000)", "int(t + 60000)"},
	{"replay", "if (redis.call('HGET', progress, 'cursor') or '') ~= ARGV[4] then", "if false then"},
	{"replay", "if redis.call('HEXISTS', KEYS[5], ARGV[1]) == 1 then", "if false then"},
	{"replay", "if not low or entry_at(log, id) or redis.call('HEXISTS', copies, id) == 1 then", "if true then"},
	{"replay", "reschedule(KEYS[7]", ";(function() end)(KEYS[7]"},
	{"replay", " + #ARGV - 7 - count", ""},
	{"pause", "redis.call('ZREM', KEYS[6], ARGV[1])\n", ""},
	{"lapse", "redis.call('HEXISTS', KEYS[7], subscription) == 1 or redis.call('HEXISTS', KEYS[8], subscription) == 1", "redis.call('HEXISTS', KEYS[7], subscription) == 1"},
	{"lapse", "redis.call('HEXISTS', KEYS[7], subscription) == 1 or redis.call('HEXISTS', KEYS[8], subscription) == 1", "redis.call('HEXISTS', KEYS[8], subscription) == 1"},
	{"lapse", "  if at_or_before(entry, horizon) then", "  if false then"},
	{"lapse", "if attempt >= most then", "if attempt > most then"},
	{"lapse", "  reschedule(KEYS[9]", "  ;(function() end)(KEYS[9]"},
	{"lapse", "'last_failure', int(t), ", ""},
	{"extend", "not gone and redis.call('HEXISTS', KEYS[7], ARGV[1]) == 0 then", "not gone then"},
	{"hasten", "if redis.call('HEXISTS', KEYS[6], ARGV[1]) == 0 then", "if true then"},
	{"redrive", "if redis.call('HEXISTS', paused, queue.subscription) == 0 then", "if true then"},
	{"redrive", "if not lane or redis.call('HSETNX', queue.lanes, lane, entry) == 1 then", "if true then"},
	{"redrive", "local name, id, lane = without_lane(entry)", "local name, id, lane = entry"},
	{"replay", "if redis.call('HEXISTS', KEYS[11], ARGV[1]) == 0 then", "if true then"},
	{"replay", "if not lane or redis.call('HSETNX', KEYS[12], lane, entry) == 1 then", "if true then"},
	{"find", "if lane_of(entry) and redis.call('ZSCORE', KEYS[7], waiting_member(lane_of(entry), entry)) then", "if false then"},
	{"claim", "redis.call('HEXISTS', gone, queue.subscription) == 1 or redis.call('HEXISTS', paused, queue.subscription) == 1", "redis.call('HEXISTS', gone, queue.subscription) == 1"},
	{"discard", "if redis.call('HDEL', KEYS[3], name) == 1 then", "if true then"},
	{"claim", "receipt_field(leases[i]), receipt .. '\\n'", "receipt_field(leases[i]), receipt"},
	{"claim", "    lease(queue, tried, fresh, expires, ARGV[arg + 6])", "    lease(queue, tried, fresh, expires, fresh[1] and ARGV[arg + 6] or '')"},
	{"extend", "return head .. '\\n' .. progress .. '\\n' .. note", "return head .. '\\n' .. progress"},
	{"replay", "if not low or entry_at(log, id) or redis.call('HEXISTS', copies, id) == 1 then", "if not low then"},
	{"purge", "ARGV[1] .. suffix_of(entry)", "ARGV[1]"},
	{"begin", "if known and redis.call('ZSCORE', KEYS[1], known) then", "if false then"},
	{"finish", "if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then", "if false then"},
	{"turn", "if not due then", "if true then"},
	{"turn", "int(t + tonumber(ARGV[1]))", "int(t)"},
	{"hasten", "reschedule(KEYS[2]", ";(function() end)(KEYS[2]"},
	{"settle", "  advance(queue, entry)\n", ""},
	{"settle", "redis.call('HGET', queue.lanes, lane) ~= entry then", "false then"},
	{"settle", "want == 0 or redis.call('ZCOUNT', queue.retries, '-inf', int(t)) > 0", "want == 0"},
	{"settle", "math.min(want, max - redis.call('ZCARD', queue.leases))", "want"},
	{"settle", "not still and gate == 0 and lease_fresh", "gate == 0 and lease_fresh"},
	{"settle", "not still and gate == 0 and lease_fresh", "not still and lease_fresh"},
	{"settle", "local max, want, expires = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 7]),", "local max, want, expires = tonumber(ARGV[arg + 1]), max,"},
	{"settle", "local name = without_lane(entry)", "local name = entry"},
	{"settle", "      blame(queue.results, entry, word, ARGV[detail + 2])\n", ""},
	{"settle", "  if breaker.threshold > 0 then", "  if false then"},
	{"settle", "queue.leases, max, t, gate)", "queue.leases, max, t, 0)"},
	{"settle", "if word ~= 'back' and whose == 'fault' then", "if whose == 'fault' then"},
	{"settle", "if word ~= 'back' and whose == 'fault' then", "if word ~= 'back' then"},
	{"settle", "  count(queue)\n", ""},
	{"settle", "queue.last_error = told == 3 and ARGV[detail + 1] or queue.last_error", "queue.last_error = queue.last_error"},
	{"settle", "  forget(queue, entry)\n  return record", "  return record"},
	{"settle", "  forget(queue, entry)\nend\n\nfunction verdicts.back", "end\n\nfunction verdicts.back"},

	{"announce", "if known >= tonumber(ARGV[1]) then", "if known > tonumber(ARGV[1]) then"},
	{"announce", "if known >= tonumber(ARGV[1]) then", "if false then"},

	{"horizon", "if at_or_before(applied, wanted) then", "if false then"},
	{"horizon", "if target == '' or cursor == '0-0' then", "if true then"},
	{"horizon", "elseif seq == '0' then", "elseif false then"},
	{"horizon", "if surplus > 0 then", "if false then"},
	{"horizon", "  if at_or_before(wanted, last) then", "  if true then"},
	{"horizon", "  if at_or_before(wanted, last) then", "  if false then"},
	{"horizon", "if not at_or_before(wanted, horizon) then", "if true then"},

	{"keep", "  if not at_or_before(entry, horizon) then", "  if false then"},
	{"keep", "math.max(tonumber(ARGV[3]) - popped, 0)", "tonumber(ARGV[3])"},
	{"keep", "{ #entries == page and 'more' or 'done', int(popped", "{ 'done', int(popped"},
	{"keep", "    keep(found[2][i])\n  end\n  return { found[1] == '0' and 'done' or 'more', found[1] }", "    keep(found[2][i])\n  end\n  return { 'done', found[1] }"},
	{"keep", "    keep(waiting_entry(found[2][i]))\n  end\n  return { found[1] == '0' and 'done' or 'more', found[1] }", "    keep(waiting_entry(found[2][i]))\n  end\n  return { 'done', found[1] }"},
	{"keep", "    if not keep(entry) then", "    if true then"},

	{"trim", "if not at_or_before(ARGV[1], horizon) then", "if false then"},
	{"trim", "int(tonumber(seq) + 1)", "int(tonumber(seq))"},

	{"purge", "if not last then", "if false then"},
	{"purge", "if #dropped == page then", "if false then"},
	{"purge", "if not at_or_before(last, cursor) or (last == cursor and target ~= '') then", "if last == cursor and target ~= '' then"},
	{"purge", "if not at_or_before(last, cursor) or (last == cursor and target ~= '') then", "if not at_or_before(last, cursor) then"},
	{"purge", "  if at_or_before(entry, horizon) then", "  if false then"},
	{"purge", "if #dropped < page then\n  local members", "if false then\n  local members"},

	{"rotate", "math.max(now(), tonumber(s[2] or 0), tonumber(s[3] or 0))", "now()"},
	{"rotate", "if redis.call('HGET', KEYS[1], 'ring' .. slot) == int(bucket) then", "if false then"},

	{"forward", "if (redis.call('HGET', KEYS[1], 'token') or '') ~= ARGV[1] then", "if false then"},
	{"forward", "if last ~= ARGV[3] then", "if false then"},
	{"mark", "if known >= wanted then", "if false then"},
	{"mark", "if (s[2] or '') == '' and (not", "if (not"},
	{"mark", "(not last or at_or_before(last[1], cursor))", "true"},
	{"mark", "math.max(now(), known, math.min(wanted, floor + 1))", "math.max(now(), known)"},
	{"mark", "math.max(now(), known, math.min(wanted, floor + 1))", "math.max(now(), known, wanted)"},
	{"mark", "math.max(tonumber(s[4] or 0), tonumber(string.match(cursor, '^%d+')))", "tonumber(s[4] or 0)"},
	{"inbox", "until #found < page or bytes >= most", "until #found < page"},
	{"inbox", "    reply[head] = 'more'\n", ""},
	{"merge", "(s[1] or '') ~= ARGV[1] or (s[2] or '') ~= ARGV[2]", "(s[2] or '') ~= ARGV[2]"},
	{"merge", "(s[1] or '') ~= ARGV[1] or (s[2] or '') ~= ARGV[2]", "(s[1] or '') ~= ARGV[1]"},
	{"merge", "if (s[3] or '') ~= ARGV[3] then", "if false then"},
	{"merge", "if string.sub(last, 1, #ARGV[arg + 1]) ~= ARGV[arg + 1] then", "if false then"},
	{"merge", "if work and #lists == 0 then", "if false then"},
	{"merge", "  made = made + 1\n", ""},
	{"shortcut", "  elseif #before ~= bytes then\n    error('an event of a partial is missing')\n", ""},
	{"partial", "singles[i] or absent", "singles[i] or true"},
	{"partial", "read(head, 'MGET',", "read(partial, 'MGET',"},
	{"partial", "read(head, 'EXISTS', unpack(KEYS, from, to)) == found", "false"},
	{"join", "if not ok and failure then", "if false then"},
	{"join", "if partial.trigger.pair and not partial.hash then", "if partial.trigger.pair then"},

	{"permit", "max - redis.call('ZCARD', permits)", "max"},
	{"permit", "return math.max(0, math.min(want", "return (math.min(want"},
	{"permit", "taken = math.max(0, math.min(wanted, limit - used))", "taken = math.min(wanted, limit)"},
	{"permit", "rounded(t + 1 + tonumber(ARGV[7]))", "rounded(t + 1)"},
	{"permit", "math.ceil(date / grain)", "math.floor(date / grain)"},
	{"permit", "if date > t + 2 * per then", "if false then"},
	{"permit", "if date + per > t then", "if date + per >= t then"},
	{"permit", "      count(date, -1)\n", ""},
	{"permit", "  if taken < wanted then", "  if true then"},
	{"permit", "(ARGV[i + 1] == 'fault' and 1 or 0)", "0"},
	{"permit", "results.delivered or ARGV[i + 1] == 'delivered'", "results.delivered"},
	{"permit", "    results[ARGV[i]] = ARGV[i + 1]\n", ""},
	{"permit", "if breaker.threshold > 0 then", "if false then"},
	{"permit", "  elseif t < open then", "  elseif false then"},
	{"permit", "  return math.min(want, 1), 0", "  return want, 0"},
	{"permit", "math.min(open - t, 1000)", "open - t"},
	{"permit", "if open > 0 and taken > 0 then", "if open > 0 then"},
	{"permit", "(not first or at < first)", "not first"},
	{"permit", "date > t and date or date + per", "date + per"},
	{"permit", "if early and rounded(date - early) + per > t then", "if early then"},
	{"permit", "        count(rounded(date - early), 1)\n", ""},
	{"permit", "  write_rate()\nend", "end"},

	{"lease", "owner ~= ARGV[1] and (left > 0", "(left > 0"},
	{"lease", "(left > 0 or (owner == '' and ARGV[3] == 'orphan'))", "(owner == '' and ARGV[3] == 'orphan')"},
	{"lease", "(left > 0 or (owner == '' and ARGV[3] == 'orphan'))", "left > 0"},
	{"release", "if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then", "if false then"},

	{"pause", "if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then", "if false then"},
	{"pause", "(since or int(now()))", "int(now())"},
	{"pause", "if reason ~= 'operator' then", "if true then"},
	{"resume", "if ARGV[2] == 'disabled' and (not reason or reason == 'operator') then", "if ARGV[2] == 'disabled' and not reason then"},
	{"resume", "if ARGV[2] == 'disabled' and (not reason or reason == 'operator') then", "if not reason then"},
	{"resume", "redis.call('LLEN', KEYS[4]) + redis.call('ZCARD', KEYS[5]) + redis.call('ZCARD', KEYS[6]) > 0", "true"},
	{"resume", "redis.call('LLEN', KEYS[4]) + redis", "redis"},
	{"resume", "redis.call('ZCARD', KEYS[5]) + redis", "redis"},
	{"resume", " + redis.call('ZCARD', KEYS[6]) > 0", " > 0"},

	{"define", "if not old and expected ~= '0' then", "if false then"},
	{"define", "if old and expected ~= 'any' and expected ~= version then", "if false then"},
	{"define", "if old and expected ~= 'any' and", "if old and"},
	{"define", "if holder and holder ~= id then", "if false then"},
	{"define", "if holder and holder ~= id then", "if holder then"},
	{"define", "if redis.call('ZCARD', KEYS[6]) > 10000 then", "if false then"},

	{"due", "'(' .. int(t), '+inf'", "int(t), '+inf'"},
	{"due", "'LIMIT', 0, ARGV[1])", "'LIMIT', 0, 1000)"},
	{"expire", "'(' .. ARGV[1], 'LIMIT'", "ARGV[1], 'LIMIT'"},
	{"register", "if ARGV[2] == '' then", "if false then"},
	{"init", "ARGV[3] == '0' and '1' or ARGV[3]", "'1'"},
	{"init", "format >= tonumber(ARGV[2]) and ", ""},
	{"init", " and format < tonumber(ARGV[1])", ""},
}
