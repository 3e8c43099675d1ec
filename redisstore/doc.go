// Package redisstore keeps everything that Streamlatch keeps in Redis: the log, the definitions, the queues, the dead letters. Its Store
// implements the interfaces that package router declares. What has to be atomic is a Lua program of package scripts; keys.go lists every key.
//
// It runs on Redis 7.0 or newer, alone, behind Sentinels or as a Cluster, and on miniredis, which keeps nothing.
package redisstore
