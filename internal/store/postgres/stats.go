package postgres

import "github.com/jumpa-hie/jumpa/internal/store"

// Stats tells what the store has done.
func (s *Store) Stats() store.Stats {
	reads, writes := s.reads.Stat(), s.writes.Stat()
	st := store.Stats{
		Commits: s.commits.Load(), Committed: s.committed.Load(), Conflicts: s.conflicts.Load(), Retries: s.retries.Load(),
		Waiting: len(s.queue), Busy: int(reads.AcquiredConns() + writes.AcquiredConns()), Most: int(reads.MaxConns() + writes.MaxConns()),
	}
	if rs := s.replicas; rs != nil {
		st.Replicas, st.OnReplica, st.Fallbacks = len(rs.list), rs.served.Load(), rs.fallbacks.Load()
		for _, r := range rs.list {
			if r.usable.Load() {
				st.Usable++
			}
		}
	}
	return st
}

// count notes what one transaction has written. conflict tells that others
// were in its way.
func (s *Store) count(conflict bool, jobs ...*job) {
	if conflict {
		s.conflicts.Add(1)
		return
	}
	n := uint64(0)
	for _, j := range jobs {
		if j.err == nil {
			n++
		}
	}
	if n > 0 {
		s.commits.Add(1)
		s.committed.Add(n)
	}
}
