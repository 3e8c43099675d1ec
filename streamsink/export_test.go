package streamsink

// Targets is how many Redises a sender has connections to.
func Targets(s *Sender) int {
	s.targets.mu.Lock()
	defer s.targets.mu.Unlock()
	return len(s.targets.known)
}
