// Package source turns webhooks of others into events: it verifies that a message comes from who it is said to come from, answers the handshakes of
// providers, and maps a message to a CloudEvent in its provider's own terms. It takes values and gives values; it knows neither storage nor a server, and
// clocks are handed in.
//
// What sets one provider apart from another is data: a row of the table in provider.go. How rows are to be read is said by the types scheme (what shows who
// sent a message), mapping (what becomes of it) and handshake.
//
// Everything fails closed: an unknown provider, a source without a secret, a header that is missing, doubled or not well-formed is a message that is not
// verified.
package source
