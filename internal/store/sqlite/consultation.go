package sqlite

import (
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

const sessionColumns = "token, room, status, service_type, organization, title, created, activated, ended, closed"

func scanSession(r row) (s store.Session, err error) {
	err = r.Scan(&s.Token, &s.Room, &s.Status, &s.ServiceType, &s.Organization, &s.Title,
		at{&s.Created}, at{&s.Activated}, at{&s.Ended}, at{&s.Closed})
	return s, err
}

// Session implements store.Reader.
func (r reader) Session(token string) (store.Session, error) {
	return single(r.conn, "SELECT "+sessionColumns+" FROM session WHERE token = ?", []any{token}, scanSession)
}

// SessionByRoom implements store.Reader.
func (r reader) SessionByRoom(room string) (store.Session, error) {
	return single(r.conn, "SELECT "+sessionColumns+" FROM session WHERE room = ?", []any{room}, scanSession)
}

// OpenEndings implements store.Reader.
func (r reader) OpenEndings(limit int) ([]store.Session, error) {
	return many(r.conn, "SELECT "+sessionColumns+" FROM session WHERE status = 'ended' AND closed = 0 ORDER BY ended LIMIT ?", []any{limit}, scanSession)
}

var putSession = upsert("session", sessionColumns)

// PutSession implements store.Tx. A room that another session has is an error.
func (t *tx) PutSession(s store.Session) error {
	return t.exec(putSession,
		s.Token, s.Room, s.Status, s.ServiceType, s.Organization, s.Title,
		micro(s.Created), micro(s.Activated), micro(s.Ended), micro(s.Closed))
}

const consultationColumns = "appointment, encounter, patient, organization, healthcare_service, service_type, token, state, " +
	"start_at, end_at, checked_in, ready, in_call, closed"

func scanConsultation(r row) (c store.Consultation, err error) {
	err = r.Scan(&c.Appointment, &c.Encounter, &c.Patient, &c.Organization, &c.HealthcareService, &c.ServiceType, &c.Token, &c.State,
		at{&c.Start}, at{&c.End}, at{&c.CheckedIn}, at{&c.Ready}, at{&c.InCall}, at{&c.Closed})
	return c, err
}

// Consultation implements store.Reader.
func (r reader) Consultation(appointment string) (store.Consultation, error) {
	return single(r.conn, "SELECT "+consultationColumns+" FROM consultation WHERE appointment = ?", []any{appointment}, scanConsultation)
}

// ConsultationOf implements store.Reader.
func (r reader) ConsultationOf(encounter string) (store.Consultation, error) {
	return single(r.conn, "SELECT "+consultationColumns+" FROM consultation WHERE encounter = ? AND encounter <> ''", []any{encounter}, scanConsultation)
}

// ConsultationsWith implements store.Reader.
func (r reader) ConsultationsWith(token string) ([]store.Consultation, error) {
	return many(r.conn, "SELECT "+consultationColumns+" FROM consultation WHERE token = ? AND token <> '' ORDER BY appointment", []any{token}, scanConsultation)
}

// ConsultationsFor implements store.Reader.
func (r reader) ConsultationsFor(patients []string) ([]store.Consultation, error) {
	if len(patients) == 0 {
		return nil, nil
	}
	args := make([]any, len(patients))
	for i, p := range patients {
		args[i] = p
	}
	return many(r.conn, "SELECT "+consultationColumns+" FROM consultation WHERE patient IN ("+marks(len(args))+") AND patient <> '' ORDER BY start_at, appointment", args, scanConsultation)
}

// Ahead implements store.Reader.
func (r reader) Ahead(c store.Consultation) (n int, err error) {
	err = r.one(`SELECT count(*) FROM (SELECT 1 FROM consultation WHERE healthcare_service = ? AND state = 'waiting' AND service_type <> 'VCE'
		AND (checked_in, appointment) < (?, ?) LIMIT ?)`, []any{c.HealthcareService, micro(c.CheckedIn), c.Appointment, store.MaxAhead}, &n)
	return n, err
}

// Due implements store.Reader.
func (r reader) Due(states []string, before time.Time, limit int) ([]store.Consultation, error) {
	args := make([]any, 0, len(states)+2)
	for _, s := range states {
		args = append(args, s)
	}
	return many(r.conn, "SELECT "+consultationColumns+" FROM consultation WHERE closed = 0 AND state IN ("+marks(len(states))+
		") AND end_at < ? ORDER BY end_at, appointment LIMIT ?", append(args, micro(before), limit), scanConsultation)
}

var putConsultation = upsert("consultation", consultationColumns)

// PutConsultation implements store.Tx. An encounter that another consultation
// has is an error.
func (t *tx) PutConsultation(c store.Consultation) error {
	return t.exec(putConsultation,
		c.Appointment, c.Encounter, c.Patient, c.Organization, c.HealthcareService, c.ServiceType, c.Token, c.State,
		micro(c.Start), micro(c.End), micro(c.CheckedIn), micro(c.Ready), micro(c.InCall), micro(c.Closed))
}

// Booked implements store.Reader.
func (r reader) Booked(slot string) (n int, err error) {
	err = r.one("SELECT count(*) FROM booking WHERE slot = ?", []any{slot}, &n)
	return n, err
}

// Book implements store.Tx.
func (t *tx) Book(slot, appointment string) error {
	return t.exec("INSERT OR IGNORE INTO booking (slot, appointment) VALUES (?, ?)", slot, appointment)
}

// Unbook implements store.Tx.
func (t *tx) Unbook(slot, appointment string) error {
	return t.exec("DELETE FROM booking WHERE slot = ? AND appointment = ?", slot, appointment)
}

const callColumns = "room, people, state, touched"

func scanCall(r row) (c store.Call, err error) {
	err = r.Scan(&c.Room, &c.People, &c.State, at{&c.Touched})
	return c, err
}

// Call implements store.Reader.
func (r reader) Call(room string) (store.Call, error) {
	return single(r.conn, "SELECT "+callColumns+" FROM call WHERE room = ?", []any{room}, scanCall)
}

// Calls implements store.Reader.
func (r reader) Calls(after string, limit int) ([]store.Call, error) {
	return many(r.conn, "SELECT "+callColumns+" FROM call WHERE room > ? ORDER BY room LIMIT ?", []any{after, limit}, scanCall)
}

// InCalls implements store.Reader.
func (r reader) InCalls() (rooms, people int, err error) {
	if err = r.one("SELECT count(*) FROM call WHERE people > 0", nil, &rooms); err == nil {
		err = r.one("SELECT coalesce(sum(people), 0) FROM call WHERE people > 0", nil, &people)
	}
	return rooms, people, err
}

var putCall = upsert("call", callColumns)

// PutCall implements store.Tx.
func (t *tx) PutCall(c store.Call) error {
	return t.exec(putCall, c.Room, c.People, c.State, micro(c.Touched))
}

// DeleteCall implements store.Tx.
func (t *tx) DeleteCall(room string) error {
	return t.exec("DELETE FROM call WHERE room = ?", room)
}
