package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"

	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

// definitionsKey is the setting that says which definitions the store has.
const definitionsKey = "definitions.sha256"

// openDefinitions puts the definitions of MY Core into the store, where every
// source system may read them; those that a former start has put there stay.
func (a *App) openDefinitions(ctx context.Context) error {
	all := mycore.Definitions()
	sum := sha256.New()
	for _, doc := range all {
		_, _ = sum.Write(doc.Bytes()) // never fails
	}
	digest := sum.Sum(nil)
	var known []byte
	err := a.store.View(ctx, func(r store.Reader) (err error) {
		known, err = r.Setting(definitionsKey)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) || bytes.Equal(known, digest) {
		return err
	}
	for _, doc := range all {
		if _, err := a.exchange.Put(ctx, auth.Exchange, exchange.Write{Type: doc.Type(), ID: doc.ID(), Doc: doc}); err != nil {
			return err
		}
	}
	return a.store.Update(ctx, func(tx store.Tx) error { return tx.PutSetting(definitionsKey, digest) })
}
