package app

import (
	"context"
	"errors"
	"log/slog"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// mostParked bounds what is shown at once.
const mostParked = 1000

// Parked gives the events that the brokers refuse, the oldest first. With a
// SQLite database the exchange must not run meanwhile.
func Parked(ctx context.Context, cfg Config) (list []store.Parked, err error) {
	err = withStore(ctx, cfg, func(st store.Store) error {
		return st.View(ctx, func(r store.Reader) (err error) {
			list, err = r.ParkedEvents(mostParked)
			return err
		})
	})
	return list, err
}

// Replay makes parked events pending again, each in its old place. One that is
// not parked is a *UsageError, and then none is replayed.
func Replay(ctx context.Context, cfg Config, seqs ...int64) error {
	return withStore(ctx, cfg, func(st store.Store) error {
		return st.Update(ctx, func(tx store.Tx) error {
			for _, seq := range seqs {
				err := tx.UnparkEvent(seq)
				if errors.Is(err, store.ErrNotFound) {
					return usage("event %d is not parked; `jumpa parked` lists those that are", seq)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// withStore opens the store that the configuration names for one act.
func withStore(ctx context.Context, cfg Config, act func(store.Store) error) error {
	if err := cfg.makeData(); err != nil {
		return err
	}
	st, err := openStore(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return errors.Join(act(st), st.Close())
}
