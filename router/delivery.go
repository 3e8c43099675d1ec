package router

import (
	"context"
	"time"
)

// DeliveryStatus is where a delivery stands.
type DeliveryStatus string

// The statuses.
const (
	DeliveryPending   DeliveryStatus = "pending"   // no attempt has come to an end
	DeliveryRetrying  DeliveryStatus = "retrying"  // an attempt failed, and another one follows or is under way
	DeliveryDelivered DeliveryStatus = "delivered" // it arrived
	DeliveryDead      DeliveryStatus = "dead"      // it was given up: a dead letter
)

// DeliveryStatuses returns every status.
func DeliveryStatuses() []DeliveryStatus {
	return []DeliveryStatus{DeliveryPending, DeliveryRetrying, DeliveryDelivered, DeliveryDead}
}

// DeliveryRecord is what is recorded of one delivery.
type DeliveryRecord struct {
	ID           string
	Subscription string // id
	Position     Position
	Status       DeliveryStatus
	Attempts     []Attempt // those that ended, the first one first; of a delivered one, perhaps not all that failed
	Next         time.Time // waiting for another attempt: when it is due
	LeaseUntil   time.Time // under way: until when it is somebody's
	Worker       string    // of a delivery that a worker has pulled, as Progress and Note
	Progress     string    // "0" to "100", or "" if it has not said
	Note         string
}

// DeliveryFilter selects deliveries. Zero fields select all.
type DeliveryFilter struct {
	Subscription string // id
	Status       DeliveryStatus
	Event        *Position // of this event; replays of it are not found by it
}

// DeliveryStore tells of deliveries. Safe for concurrent use.
type DeliveryStore interface {
	// Deliveries returns up to limit deliveries, those of one subscription after those of another, dead ones last, and where to go on ("" at the end). A call looks
	// at a bounded number, so a page may be empty and have a next. What moves between two calls may be listed twice, or not.
	Deliveries(ctx context.Context, filter DeliveryFilter, cursor string, limit int) (list []DeliveryRecord, next string, err error)
	// Delivery returns one. NotFound: there is none, or it arrived longer ago than is recorded.
	Delivery(ctx context.Context, id string) (DeliveryRecord, error)
	// HastenDelivery makes one due now if it waits for its next attempt, and returns it. NotFound, and Invalid for one that is over.
	HastenDelivery(ctx context.Context, id string) (DeliveryRecord, error)
}
