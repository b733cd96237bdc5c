package sqlite

import "github.com/jumpa-hie/jumpa/internal/store"

// Stats tells what the store has done. Nothing conflicts where one writes.
func (s *Store) Stats() store.Stats {
	return store.Stats{
		Commits: s.commits.Load(), Committed: s.committed.Load(), Waiting: len(s.queue),
		Busy: cap(s.readers) - len(s.readers), Most: cap(s.readers),
	}
}

// count notes what a commit has written.
func (s *Store) count(batch []*job, err error) {
	n := uint64(0)
	for _, j := range batch {
		if err == nil && j.err == nil {
			n++
		}
	}
	if n > 0 {
		s.commits.Add(1)
		s.committed.Add(n)
	}
}
