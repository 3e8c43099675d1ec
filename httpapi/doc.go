// Package httpapi is Streamlatch's HTTP API: its routes, JSON shapes, status codes and headers. What the API promises stands in openapi.yaml,
// which is served at /openapi.json and held against the routes and their answers by tests.
//
// # The way of a request
//
//	echo finds the route ─▶ host and origin (while there are no keys) ─▶ API key, scope ─▶ handler ─▶ answer
//	                                                      any error, any panic ─▶ application/problem+json
//
// A handler takes a call and returns an error; it knows net/http and not echo, which only route.go and server.go do. The one writer of
// errors is in problem.go, with the one table of codes. Codes, rules about events and definitions, and storage are package router's.
package httpapi
