package router

import (
	"regexp"
	"strconv"
	"strings"
)

// DeliveryID names a delivery: the same on each attempt, and what webhooks get as webhook-id. It is made of the subscription's id, the event's
// position and the entry's suffix, so nothing has to be stored for it.
func DeliveryID(subscription string, e Entry) string {
	return "dlv_" + strconv.Itoa(e.Position.Partition) + "-" + e.Position.ID() + "-" + strings.TrimPrefix(subscription, "sub_") + e.Suffix
}

var deliveryIDPattern = regexp.MustCompile(`^dlv_(\d{1,3})-(\d{1,15}-\d{1,20})-([0-9A-Z]{26})(~[0-9a-z]{1,32})?$`)

// ParseDeliveryID reads what DeliveryID makes. Invalid: it is no such id.
func ParseDeliveryID(id string) (subscription string, e Entry, err error) {
	m := deliveryIDPattern.FindStringSubmatch(id)
	if m == nil {
		return "", Entry{}, errNoDeliveryID(id)
	}
	position, err := ParsePosition(m[1] + ":" + m[2])
	if err != nil {
		return "", Entry{}, errNoDeliveryID(id)
	}
	subscription, e = string(SubscriptionID)+"_"+m[3], Entry{Position: position, Suffix: m[4]}
	if DeliveryID(subscription, e) != id {
		return "", Entry{}, errNoDeliveryID(id)
	}
	return subscription, e, nil
}

func errNoDeliveryID(id string) error {
	return Errorf(Invalid, "%s is not the id of a delivery (dlv_…)", quoteShort(id))
}
