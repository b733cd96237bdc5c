package tables

import (
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

const sessionColumns = "token, room, status, service_type, organization, title, created, activated, ended, closed"

func scanSession(r Row) (s store.Session, err error) {
	err = r.Scan(&s.Token, &s.Room, &s.Status, &s.ServiceType, &s.Organization, &s.Title,
		At{&s.Created}, At{&s.Activated}, At{&s.Ended}, At{&s.Closed})
	return s, err
}

// Session implements store.Reader.
func (r Reader) Session(token string) (store.Session, error) {
	return Single(r.Conn, "SELECT "+sessionColumns+" FROM session WHERE token = ?", []any{token}, scanSession)
}

// SessionByRoom implements store.Reader.
func (r Reader) SessionByRoom(room string) (store.Session, error) {
	return Single(r.Conn, "SELECT "+sessionColumns+" FROM session WHERE room = ?", []any{room}, scanSession)
}

// OpenEndings implements store.Reader.
func (r Reader) OpenEndings(limit int) ([]store.Session, error) {
	return Many(r.Conn, "SELECT "+sessionColumns+" FROM session WHERE status = 'ended' AND closed = 0 ORDER BY ended LIMIT ?", []any{limit}, scanSession)
}

var putSession = upsert("session", sessionColumns, 1)

// PutSession implements store.Tx. A room that another session has is an error.
func (w Writer) PutSession(s store.Session) error {
	return w.Conn.Exec(putSession,
		s.Token, s.Room, s.Status, s.ServiceType, s.Organization, s.Title,
		Micro(s.Created), Micro(s.Activated), Micro(s.Ended), Micro(s.Closed))
}

const consultationColumns = "appointment, encounter, patient, organization, healthcare_service, service_type, token, state, " +
	"start_at, end_at, checked_in, ready, in_call, closed"

func scanConsultation(r Row) (c store.Consultation, err error) {
	err = r.Scan(&c.Appointment, &c.Encounter, &c.Patient, &c.Organization, &c.HealthcareService, &c.ServiceType, &c.Token, &c.State,
		At{&c.Start}, At{&c.End}, At{&c.CheckedIn}, At{&c.Ready}, At{&c.InCall}, At{&c.Closed})
	return c, err
}

// Consultation implements store.Reader.
func (r Reader) Consultation(appointment string) (store.Consultation, error) {
	return Single(r.Conn, "SELECT "+consultationColumns+" FROM consultation WHERE appointment = ?", []any{appointment}, scanConsultation)
}

// ConsultationOf implements store.Reader.
func (r Reader) ConsultationOf(encounter string) (store.Consultation, error) {
	return Single(r.Conn, "SELECT "+consultationColumns+" FROM consultation WHERE encounter = ? AND encounter <> ''", []any{encounter}, scanConsultation)
}

// ConsultationsWith implements store.Reader.
func (r Reader) ConsultationsWith(token string) ([]store.Consultation, error) {
	return Many(r.Conn, "SELECT "+consultationColumns+" FROM consultation WHERE token = ? AND token <> '' ORDER BY appointment", []any{token}, scanConsultation)
}

// ConsultationsFor implements store.Reader.
func (r Reader) ConsultationsFor(patients []string) ([]store.Consultation, error) {
	if len(patients) == 0 {
		return nil, nil
	}
	return Many(r.Conn, "SELECT "+consultationColumns+" FROM consultation WHERE patient IN ("+marks(len(patients))+") AND patient <> '' ORDER BY start_at, appointment",
		anys(patients), scanConsultation)
}

// Ahead implements store.Reader.
func (r Reader) Ahead(c store.Consultation) (n int, err error) {
	err = One(r.Conn, `SELECT count(*) FROM (SELECT 1 FROM consultation WHERE healthcare_service = ? AND state = 'waiting' AND service_type <> 'VCE'
		AND (checked_in, appointment) < (?, ?) LIMIT ?) ahead`, []any{c.HealthcareService, Micro(c.CheckedIn), c.Appointment, store.MaxAhead}, &n)
	return n, err
}

// Due implements store.Reader.
func (r Reader) Due(states []string, before time.Time, limit int) ([]store.Consultation, error) {
	return Many(r.Conn, "SELECT "+consultationColumns+" FROM consultation WHERE closed = 0 AND state IN ("+marks(len(states))+
		") AND end_at < ? ORDER BY end_at, appointment LIMIT ?", append(anys(states), Micro(before), limit), scanConsultation)
}

var putConsultation = upsert("consultation", consultationColumns, 1)

// PutConsultation implements store.Tx. An encounter that another consultation
// has is an error.
func (w Writer) PutConsultation(c store.Consultation) error {
	return w.Conn.Exec(putConsultation,
		c.Appointment, c.Encounter, c.Patient, c.Organization, c.HealthcareService, c.ServiceType, c.Token, c.State,
		Micro(c.Start), Micro(c.End), Micro(c.CheckedIn), Micro(c.Ready), Micro(c.InCall), Micro(c.Closed))
}

// Booked implements store.Reader.
func (r Reader) Booked(slot string) (n int, err error) {
	err = One(r.Conn, "SELECT count(*) FROM booking WHERE slot = ?", []any{slot}, &n)
	return n, err
}

// Book implements store.Tx.
func (w Writer) Book(slot, appointment string) error {
	return w.Conn.Exec("INSERT INTO booking (slot, appointment) VALUES (?, ?) ON CONFLICT DO NOTHING", slot, appointment)
}

// Unbook implements store.Tx.
func (w Writer) Unbook(slot, appointment string) error {
	return w.Conn.Exec("DELETE FROM booking WHERE slot = ? AND appointment = ?", slot, appointment)
}

const callColumns = "room, people, state, touched"

func scanCall(r Row) (c store.Call, err error) {
	err = r.Scan(&c.Room, &c.People, &c.State, At{&c.Touched})
	return c, err
}

// Call implements store.Reader.
func (r Reader) Call(room string) (store.Call, error) {
	return Single(r.Conn, "SELECT "+callColumns+" FROM call WHERE room = ?", []any{room}, scanCall)
}

// Calls implements store.Reader.
func (r Reader) Calls(after string, limit int) ([]store.Call, error) {
	return Many(r.Conn, "SELECT "+callColumns+" FROM call WHERE room > ? ORDER BY room LIMIT ?", []any{after, limit}, scanCall)
}

// InCalls implements store.Reader.
func (r Reader) InCalls() (rooms, people int, err error) {
	if err = One(r.Conn, "SELECT count(*) FROM call WHERE people > 0", nil, &rooms); err == nil {
		err = One(r.Conn, "SELECT coalesce(sum(people), 0) FROM call WHERE people > 0", nil, &people)
	}
	return rooms, people, err
}

var putCall = upsert("call", callColumns, 1)

// PutCall implements store.Tx.
func (w Writer) PutCall(c store.Call) error {
	return w.Conn.Exec(putCall, c.Room, c.People, c.State, Micro(c.Touched))
}

// DeleteCall implements store.Tx.
func (w Writer) DeleteCall(room string) error {
	return w.Conn.Exec("DELETE FROM call WHERE room = ?", room)
}
