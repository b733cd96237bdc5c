package store

// Stats counts what an engine has done since it was opened.
type Stats struct {
	Commits   uint64 // transactions of updates
	Committed uint64 // updates in them: of several that wait, one commit writes all
	Conflicts uint64 // updates that others got in the way of
	Retries   uint64 // runs of the updates after such a conflict that were in vain too
	Waiting   int    // updates that wait for their turn
	Busy      int    // connections in use
	Most      int    // connections that there can be
	Replicas  int    // of the database, that views may be read from
	Usable    int    // of them, that are all right
	OnReplica uint64 // views that were read from a replica
	Fallbacks uint64 // views that might have been, and were not
}
