package redisstore

import "context"

// Erase removes all keys of the deployment's first partition, which is everything where it is the only one and nobody else uses the namespace. It is for
// deployments that were made to try something out. The Store is of no use afterwards but to be closed.
func (s *Store) Erase(ctx context.Context) error {
	for cursor := uint64(0); ; {
		found, next, err := s.reader.Scan(ctx, cursor, s.keys[0].prefix+"*", 1000).Result()
		if err != nil {
			return unavailable(err, "list the keys to erase")
		}
		if len(found) > 0 {
			if err := s.writer.Unlink(ctx, found...).Err(); err != nil {
				return unavailable(err, "erase keys")
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}
