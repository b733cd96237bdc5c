package store

import "context"

type replicaKey struct{}

// OnReplica gives a context with which View may read from a replica of the
// database, for reads that cost much. What it reads is as fresh as ever: all
// that was stored when View began, and nothing that the database itself does
// not show yet. An engine without replicas takes no notice. When a replica
// fails in the middle, fn runs once more, on the database.
func OnReplica(ctx context.Context) context.Context {
	return context.WithValue(ctx, replicaKey{}, true)
}

// ReplicaAllowed tells whether a context comes from OnReplica.
func ReplicaAllowed(ctx context.Context) bool {
	allowed, _ := ctx.Value(replicaKey{}).(bool)
	return allowed
}
