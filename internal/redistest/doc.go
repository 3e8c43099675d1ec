// Package redistest starts the Redis servers that tests and the benchmark run against: real ones as child processes
// (alone or as a Cluster), miniredis in process, and a proxy that loses replies.
//
// A real server lives on a loopback port or a unix socket, keeps nothing on disk unless asked to, and ends with the
// process that started it, also when that is killed. It is never replaced by something else: where redis-server is
// missing or too old, tests fail with one line that says what to install.
//
// Which to use:
//
//   - [Each]: the rule must hold on miniredis and on real Redis. This is the usual one.
//   - [Shared]: real Redis only, many small tests; each keeps to its own [Namespace].
//   - [Start]: the test touches the whole server: kills or pauses it, fills its memory, flushes its scripts.
//   - [StartCluster]: hash slots matter.
//   - [Launch], [LaunchCluster], [ListenProxy]: the same for programs that are not tests.
//   - [Spawn], [ReservePort]: any other program as a child, to be killed and paused, on a port that stays its own.
//
// Linux and other Unix systems only; the tie to the parent process is exact on Linux and absent elsewhere.
package redistest
