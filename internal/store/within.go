package store

import "context"

type withinKey struct{}

// Within gives a context for work inside of a running transaction: with it,
// View and Update of every engine take part in tx. What Update's function
// fails with must then be returned, so that the whole is undone. The context
// must not be used once the transaction has ended.
func Within(ctx context.Context, tx Tx) context.Context {
	return context.WithValue(ctx, withinKey{}, tx)
}

// Running gives the transaction that a context from Within takes part in.
func Running(ctx context.Context) (Tx, bool) {
	tx, ok := ctx.Value(withinKey{}).(Tx)
	return tx, ok
}
