package app

import (
	"context"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jumpa-hie/jumpa/internal/delivery"
	"github.com/jumpa-hie/jumpa/internal/record"
)

// openSubscriptions makes what serves Subscriptions. Deliveries begin once the
// exchange answers requests.
func (a *App) openSubscriptions(ctx context.Context, keeper *record.Keeper) error {
	guard, err := delivery.NewGuard(a.cfg.HookAllow, a.cfg.loopback())
	if err != nil {
		return err
	}
	key, err := a.key(ctx, "subscription.token-key")
	if err != nil {
		return err
	}
	node := "one"
	if a.cfg.shared() {
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		node = host + " " + a.listener.Addr().String()
	}
	a.delivery = &delivery.Service{
		Store: a.store, Records: keeper, Topics: a.topics, Base: a.base, Guard: guard, Node: node, Key: key, RefuseDemo: !a.cfg.loopback(),
		Clock: a.clock, Log: a.log, GiveUp: a.cfg.HookGiveUp,
		Transport: func(to http.RoundTripper) http.RoundTripper { return a.trace.Transport("deliver notification", to) },
	}
	return nil
}

// deliver begins to send notifications.
func (a *App) deliver(ctx context.Context) error {
	switch stranded, err := a.delivery.Stranded(ctx); {
	case err != nil:
		return err
	case stranded > 0:
		a.log.Warn("there are Subscriptions to topics that there are no more; they are told of nothing", "subscriptions", stranded)
	}
	if err := a.delivery.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	a.onStop(a.delivery.Stop)
	return nil
}

// measureSubscriptions adds what deliveries count to a registry.
func (a *App) measureSubscriptions(registry prometheus.Registerer) {
	for _, m := range []struct {
		name, help string
		read       func() float64
	}{
		{"jumpa_subscription_delivered_total", "Notifications that were delivered to rest-hooks and websockets.", func() float64 { return float64(a.delivery.Stats().Delivered) }},
		{"jumpa_subscription_failed_total", "Attempts to deliver a notification that failed.", func() float64 { return float64(a.delivery.Stats().Failed) }},
		{"jumpa_subscription_retried_total", "Attempts to deliver after one that failed.", func() float64 { return float64(a.delivery.Stats().Retried) }},
	} {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: m.name, Help: m.help}, m.read))
	}
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "jumpa_subscription_websockets", Help: "Open websockets of Subscriptions.",
	}, func() float64 { return float64(a.delivery.Stats().Listening) }))
}
