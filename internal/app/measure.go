package app

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/trace"
)

// engine is a store that counts what it does.
type engine interface {
	store.Store
	Stats() store.Stats
}

// measured is a store whose transactions are timed.
type measured struct {
	store.Store
	took *prometheus.HistogramVec
}

func newMeasured(st store.Store) measured {
	return measured{st, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "jumpa_store_transaction_duration_seconds", Help: "Duration of transactions, waiting and retries included, by kind and outcome.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 15},
	}, []string{"kind", "outcome"})}
}

// View implements store.Store.
func (m measured) View(ctx context.Context, fn func(store.Reader) error) error {
	if _, within := store.Running(ctx); within {
		return m.Store.View(ctx, fn)
	}
	begun := time.Now()
	err := m.Store.View(ctx, fn)
	m.note("view", begun, err)
	return err
}

// Update implements store.Store.
func (m measured) Update(ctx context.Context, fn func(store.Tx) error) error {
	if _, within := store.Running(ctx); within {
		return m.Store.Update(ctx, fn)
	}
	begun := time.Now()
	err := m.Store.Update(ctx, fn)
	m.note("update", begun, err)
	return err
}

func (m measured) note(kind string, begun time.Time, err error) {
	m.took.WithLabelValues(kind, trace.Outcome(err)).Observe(time.Since(begun).Seconds())
}

// measure adds what the parts count to a registry.
func (a *App) measure(registry prometheus.Registerer) {
	type metric struct {
		name, help string
		labels     prometheus.Labels
		read       func() float64
	}
	none := prometheus.Labels(nil)
	with := func(name, value string) prometheus.Labels { return prometheus.Labels{name: value} }
	gauges := []metric{
		{"jumpa_outbox_held", "Records whose events wait for another try.", none, func() float64 { return float64(a.relay.Stats().Held) }},
		{"jumpa_store_waiting", "Updates that wait for their turn.", none, func() float64 { return float64(a.engine.Stats().Waiting) }},
		{"jumpa_store_connections_busy", "Connections to the database in use.", none, func() float64 { return float64(a.engine.Stats().Busy) }},
		{"jumpa_store_connections_most", "Connections to the database that there can be.", none, func() float64 { return float64(a.engine.Stats().Most) }},
		{"jumpa_store_replicas", "Replicas of the database that this node may read from.", none, func() float64 { return float64(a.engine.Stats().Replicas) }},
		{"jumpa_store_replicas_usable", "Of them, those that are there and not late.", none, func() float64 { return float64(a.engine.Stats().Usable) }},
		{"jumpa_stopping", "1 once this node has been told to stop.", none, func() float64 { return truth(a.stopping.Load()) }},
		{"jumpa_build_info", "1, with the version of the program and of Go.", prometheus.Labels{"version": version(), "go": runtime.Version()}, func() float64 { return 1 }},
	}
	if _, ok := freeSpace(a.cfg.Data); ok {
		gauges = append(gauges, metric{"jumpa_data_free_bytes", "Free space where the data directory is.", none, func() float64 { n, _ := freeSpace(a.cfg.Data); return float64(n) }})
	}
	counters := []metric{
		{"jumpa_store_commits_total", "Transactions of updates that were committed.", none, func() float64 { return float64(a.engine.Stats().Commits) }},
		{"jumpa_store_committed_total", "Updates in them: those that wait together share a commit.", none, func() float64 { return float64(a.engine.Stats().Committed) }},
		{"jumpa_store_conflicts_total", "Updates that others, or a connection that died, got in the way of; they run again.", none, func() float64 { return float64(a.engine.Stats().Conflicts) }},
		{"jumpa_store_retries_total", "Runs after a conflict that were in vain too.", none, func() float64 { return float64(a.engine.Stats().Retries) }},
		{"jumpa_store_replica_reads_total", "Searches, histories and the like that were read from a replica.", none, func() float64 { return float64(a.engine.Stats().OnReplica) }},
		{"jumpa_store_replica_fallbacks_total", "Those that were read from the database, because no replica would do.", none, func() float64 { return float64(a.engine.Stats().Fallbacks) }},
	}
	counters = append(counters, metric{"jumpa_room_disagreements_total", "Times that the count of the video system was not what its events had said; it was put right.", none, func() float64 {
		if d, ok := a.calls.(interface{ Disagreements() uint64 }); ok {
			return float64(d.Disagreements())
		}
		return 0
	}})
	for move := range a.consult.Moves() {
		counters = append(counters, metric{"jumpa_consultation_moves_total", "Moves of consultations from state to state; check in is one.", with("move", string(move)), func() float64 { return float64(a.consult.Moves()[move]) }})
	}
	const judged, judgedHelp = "jumpa_validation_total", "Documents judged on their way in, by what came of it."
	const refused, refusedHelp = "jumpa_sign_in_refused_total", "Attempts to sign in that were refused, of people and of systems."
	counters = append(counters,
		metric{judged, judgedHelp, with("outcome", "clean"), func() float64 { return float64(a.exchange.Judged().Clean) }},
		metric{judged, judgedHelp, with("outcome", "warned"), func() float64 { return float64(a.exchange.Judged().Warned) }},
		metric{judged, judgedHelp, with("outcome", "refused"), func() float64 { return float64(a.exchange.Judged().Refused) }},
		metric{refused, refusedHelp, prometheus.Labels{"who": "person", "reason": "wrong"}, func() float64 { return float64(a.access.browsers.Refusals().Wrong) }},
		metric{refused, refusedHelp, prometheus.Labels{"who": "person", "reason": "throttled"}, func() float64 { return float64(a.access.browsers.Refusals().Throttled) }},
		metric{refused, refusedHelp, prometheus.Labels{"who": "system", "reason": "wrong"}, func() float64 { return float64(a.access.tokens.Refusals().Wrong) }},
		metric{refused, refusedHelp, prometheus.Labels{"who": "system", "reason": "throttled"}, func() float64 { return float64(a.access.tokens.Refusals().Throttled) }},
	)
	for _, m := range gauges {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: m.name, Help: m.help, ConstLabels: m.labels}, m.read))
	}
	for _, m := range counters {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: m.name, Help: m.help, ConstLabels: m.labels}, m.read))
	}
	registry.MustRegister(a.took, &a.duties, a.asked())
}

// question is one that the database is asked at every scrape, with the gauges
// that its answer is for.
type question struct {
	gauges []*prometheus.Desc
	ask    func(ctx context.Context) ([]float64, error)
}

// questions go to the database side by side, so that a scraper has its answer
// before it gives up also when the database has none.
type questions []question

// scrapePatience is how long the questions of a scrape may take.
const scrapePatience = 2 * time.Second

func (a *App) asked() questions {
	gauge := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return questions{
		{[]*prometheus.Desc{
			gauge("jumpa_outbox_pending", "Committed events that the broker does not have yet."),
			gauge("jumpa_outbox_oldest_seconds", "Age of the oldest event that the broker does not have yet."),
		}, func(ctx context.Context) ([]float64, error) {
			n, oldest, err := a.relay.Lag(ctx)
			age := 0.0
			if n > 0 {
				age = a.clock().Sub(oldest).Seconds()
			}
			return []float64{float64(n), age}, err
		}},
		{[]*prometheus.Desc{
			gauge("jumpa_outbox_parked", "Events that the broker refuses as they are, set aside."),
		}, func(ctx context.Context) ([]float64, error) {
			n, err := a.relay.Parked(ctx)
			return []float64{float64(n)}, err
		}},
		{[]*prometheus.Desc{
			gauge("jumpa_rooms", "Call rooms that are in use."),
			gauge("jumpa_room_people", "People in calls."),
		}, func(ctx context.Context) ([]float64, error) {
			rooms, people, err := a.calls.Counts(ctx)
			return []float64{float64(rooms), float64(people)}, err
		}},
		{[]*prometheus.Desc{
			gauge("jumpa_subscription_pending", "Events of rest-hooks that are still to be delivered."),
			gauge("jumpa_subscription_dead", "Events of rest-hooks that were given up and wait to be asked for."),
		}, func(ctx context.Context) ([]float64, error) {
			w, err := a.delivery.Waiting(ctx)
			return []float64{float64(w.Pending), float64(w.Dead)}, err
		}},
	}
}

// Describe implements prometheus.Collector.
func (qs questions) Describe(to chan<- *prometheus.Desc) {
	for _, q := range qs {
		for _, d := range q.gauges {
			to <- d
		}
	}
}

// Collect implements prometheus.Collector. What has no answer is -1.
func (qs questions) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	var wg sync.WaitGroup
	for _, q := range qs {
		wg.Go(func() {
			values, err := q.ask(ctx)
			for i, d := range q.gauges {
				value := -1.0
				if err == nil {
					value = values[i]
				}
				to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
			}
		})
	}
	wg.Wait()
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// duties is what nodes share out among themselves, as a metric.
type duties struct {
	mu      sync.Mutex
	holders map[string]holder
}

// holder tells whether this node has a duty.
type holder interface{ Held() bool }

func (d *duties) add(name string, h holder) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holders == nil {
		d.holders = map[string]holder{}
	}
	d.holders[name] = h
}

var dutyHeld = prometheus.NewDesc("jumpa_duty_held", "1 when this node has the duty. Never two nodes at once; none for up to nine seconds after the holder was killed.", []string{"duty"}, nil)

// Describe implements prometheus.Collector.
func (*duties) Describe(to chan<- *prometheus.Desc) { to <- dutyHeld }

// Collect implements prometheus.Collector.
func (d *duties) Collect(to chan<- prometheus.Metric) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, h := range d.holders {
		to <- prometheus.MustNewConstMetric(dutyHeld, prometheus.GaugeValue, truth(h.Held()), name)
	}
}

// always is a duty of a node that is the only one.
type always struct{}

// Held implements holder.
func (always) Held() bool { return true }
