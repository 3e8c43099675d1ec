// Package scripts holds the Lua programs that Streamlatch runs inside Redis, one file per atomic operation. Each file opens with a header
// that says what it does, its KEYS, its ARGV and what it returns.
//
// House rules, each for a fault that was measured: every key is in KEYS (an undeclared one aborts a script after its first writes while a
// slot migrates); a script reads and checks first and writes last, so that nothing can fail between two writes; no cjson and no float that
// is printed with tostring (both differ between servers and lose digits); payloads are opaque strings.
package scripts

import (
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1.
	"embed"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
)

//go:embed *.lua
var files embed.FS

// Script is one Lua program.
type Script struct {
	Name   string // the file's name without .lua
	Source string
	Hash   string // SHA-1 of Source, as EVALSHA wants it
}

// Dialect says what the server that runs the scripts understands.
type Dialect uint8

// The dialects.
const (
	// Redis 7 or newer: scripts that only route, settle or remove may run when memory is full (#!lua flags=allow-oom).
	Redis Dialect = iota
	// Plain Lua 5.1 without a shebang line: miniredis.
	Plain
)

// storesMore are the scripts that must be refused when memory is full, so that the rest still has room.
var storesMore = map[string]bool{"append": true, "define": true, "replay": true}

// Set is all scripts in one dialect. Apply and ApplyWork are the same file, and only the second knows how to evaluate triggers: what a script does not need
// costs it all the same, since each call makes every function anew. Define and Redefine are the same file, too, and only the second may run when memory is full:
// it replaces and deletes.
type Set struct {
	Append, Rotate, Apply, ApplyWork, Claim, Settle, Lease, Release *Script
	Due, Announce, Define, Init, Register, Horizon, Keep, Trim      *Script
	Purge, Expire, Permit, Drop, Partials, Reseal, Pause, Resume    *Script
	Extend, Find, Hasten, Count, Forward, Mark, Inbox, Merge        *Script
	Redrive, Discard, Begin, Turn, Later, Finish, Replay, Redefine  *Script
	Changes, Documents, Lapse                                       *Script
}

// Load returns the scripts as the given dialect wants them.
func Load(d Dialect) *Set {
	common, evaluation := read("common"), ""
	for _, name := range []string{"partial", "condition", "firing", "shortcut", "join"} {
		evaluation += read(name)
	}
	build := func(name, with string, more bool) *Script {
		source := needed(common, with+read(name))
		if d == Redis {
			source = shebang(more) + source
		}
		sum := sha1.Sum([]byte(source)) //nolint:gosec // see the import
		return &Script{Name: name, Source: source, Hash: hex.EncodeToString(sum[:])}
	}
	script := func(name string) *Script { return build(name, "", storesMore[name]) }
	evaluating := func(name string) *Script { return build(name, evaluation, storesMore[name]) }
	leasing := func(name string) *Script { return build(name, read("leasing"), storesMore[name]) }
	return &Set{
		Append: script("append"), Rotate: script("rotate"), Apply: script("apply"), ApplyWork: evaluating("apply"), Claim: leasing("claim"),
		Settle: leasing("settle"), Lease: script("lease"), Release: script("release"), Due: script("due"), Announce: script("announce"),
		Define: script("define"), Init: script("init"), Register: script("register"), Horizon: script("horizon"), Keep: script("keep"),
		Trim: script("trim"), Purge: script("purge"), Expire: script("expire"), Permit: script("permit"), Drop: script("drop"),
		Partials: script("partials"), Reseal: script("reseal"), Pause: script("pause"), Resume: script("resume"), Extend: script("extend"),
		Find: script("find"), Hasten: script("hasten"), Count: script("count"), Forward: script("forward"), Mark: script("mark"),
		Inbox: script("inbox"), Redrive: script("redrive"), Discard: script("discard"), Begin: script("begin"), Turn: script("turn"),
		Later: script("later"), Changes: script("changes"), Documents: script("documents"), Lapse: script("lapse"), Finish: script("finish"),
		Replay: script("replay"), Merge: evaluating("merge"), Redefine: build("define", "", false),
	}
}

var function = regexp.MustCompile(`(?m)^local function (\w+)`)

// needed puts in front of a program the functions that it calls, itself or through one another, each of them a paragraph of common: any other would cost every
// call of it.
func needed(common, program string) string {
	for _, paragraph := range slices.Backward(strings.Split(common, "\n\n")) {
		if name := function.FindStringSubmatch(paragraph); name != nil && strings.Contains(program, name[1]+"(") {
			program = paragraph + "\n\n" + program
		}
	}
	return program
}

// All lists the scripts of a set.
func (s *Set) All() []*Script {
	return []*Script{
		s.Append, s.Rotate, s.Apply, s.ApplyWork, s.Claim, s.Settle, s.Lease, s.Release,
		s.Due, s.Announce, s.Define, s.Init, s.Register, s.Horizon, s.Keep, s.Trim,
		s.Purge, s.Expire, s.Permit, s.Drop, s.Partials, s.Reseal, s.Pause, s.Resume,
		s.Extend, s.Find, s.Hasten, s.Count, s.Forward, s.Mark, s.Inbox, s.Merge,
		s.Redrive, s.Discard, s.Begin, s.Turn, s.Later, s.Finish, s.Replay, s.Redefine,
		s.Changes, s.Documents, s.Lapse,
	}
}

func shebang(storesMore bool) string {
	if storesMore {
		return "#!lua\n"
	}
	return "#!lua flags=allow-oom\n"
}

// read panics on a missing file: the files are compiled in, so only a wrong name in this package can cause it.
func read(name string) string {
	text, err := files.ReadFile(name + ".lua")
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(text)) + "\n"
}
