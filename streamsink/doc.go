// Package streamsink delivers events to Redis Streams: it is the router.Sender of the sinks of kind "stream".
//
// An entry has two fields, delivery (the delivery's id, the same on each attempt) and event (the CloudEvent in its JSON format). One script appends it and
// remembers the delivery, in a sorted set beside the stream (Memory), so that an attempt whose reply was lost, and a replica that wakes up late, append nothing
// twice: for as long as the retry schedule may bring another attempt, and for an hour after the reply has arrived.
package streamsink
