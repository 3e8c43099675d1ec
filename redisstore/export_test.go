package redisstore

// Key is the name of a key in partition 0, for tests that look at what is stored.
func Key(s *Store, name string) string { return s.keys[0].prefix + name }
