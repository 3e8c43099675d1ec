package router

import (
	"strconv"
	"strings"
)

// DeliveryID names a delivery: the same on each attempt, and what webhooks get as webhook-id. It is made of the subscription's id, the event's
// position and the entry's suffix, so nothing has to be stored for it.
func DeliveryID(subscription string, e Entry) string {
	return "dlv_" + strconv.Itoa(e.Position.Partition) + "-" + e.Position.ID() + "-" + strings.TrimPrefix(subscription, "sub_") + e.Suffix
}
