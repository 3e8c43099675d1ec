package router

import (
	"slices"
	"time"
)

// Limits of the rotation of signing secrets.
const (
	SecretOverlap     = 24 * time.Hour // how long a secret that was replaced still signs
	MaxRotatedSecrets = 8              // that still sign
)

// RotatedSecret is a signing secret that was replaced and signs, beside the new one, until a time by Redis' clock.
type RotatedSecret struct {
	Secret string
	Until  time.Time
}

// SigningSecrets are those that sign at a time, the newest first.
func (s Subscription) SigningSecrets(at time.Time) (secrets []string) {
	if s.Sink.Secret != "" {
		secrets = append(secrets, s.Sink.Secret)
	}
	for _, old := range s.Rotated {
		if at.Before(old.Until) {
			secrets = append(secrets, old.Secret)
		}
	}
	return secrets
}

// ForgetRotated returns the subscription without the secrets that don't sign any more.
func (s Subscription) ForgetRotated(now time.Time) Subscription {
	s.Rotated = slices.DeleteFunc(slices.Clone(s.Rotated), func(old RotatedSecret) bool { return !now.Before(old.Until) })
	if len(s.Rotated) == 0 {
		s.Rotated = nil
	}
	return s
}

// RotateSecret returns the subscription with a fresh signing secret; the one that it replaces signs for SecretOverlap more. Invalid: the sink has none to
// sign with. Conflict: too many secrets sign still.
func (s Subscription) RotateSecret(fresh string, now time.Time) (Subscription, error) {
	if s.Sink.Kind != WebhookSink {
		return s, Errorf(Invalid, "subscription %q has no webhook: nothing of it is signed", s.Name)
	}
	s = s.ForgetRotated(now)
	if len(s.Rotated) >= MaxRotatedSecrets {
		return s, Errorf(Conflict, "the secret was rotated %d times within 24h; to replace it at once, PATCH sink.secret", MaxRotatedSecrets)
	}
	if s.Sink.Secret != "" {
		s.Rotated = slices.Insert(s.Rotated, 0, RotatedSecret{s.Sink.Secret, now.Add(SecretOverlap)})
	}
	s.Sink.Secret = fresh
	return s, nil
}

// rotatedUntil is how long secrets beside the present one sign; zero: there are none.
func (s Subscription) rotatedUntil() (until time.Time) {
	for _, old := range s.Rotated {
		if old.Until.After(until) {
			until = old.Until
		}
	}
	return until
}

// writeRotated writes the member of what is stored, unless there are none.
func (s Subscription) writeRotated(w *jsonWriter) {
	if len(s.Rotated) == 0 {
		return
	}
	w.name("rotated_secrets")
	w.open('[')
	for _, old := range s.Rotated {
		w.separate()
		w.open('{')
		w.text("secret", old.Secret)
		w.time("until", old.Until)
		w.close('}')
	}
	w.close(']')
}

func (s *Subscription) readRotated(n docNode) {
	n.list(MaxRotatedSecrets, func(n int) { s.Rotated = make([]RotatedSecret, n) }, func(i int, n docNode) {
		n.object(func(o *docObject) {
			o.get("secret").text(&s.Rotated[i].Secret)
			o.get("until").time(&s.Rotated[i].Until)
		})
	})
}
