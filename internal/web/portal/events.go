package portal

import (
	"net/http"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/notify"
)

// events is the live stream of an appointment.
func (p *Portal) events(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := p.find(r, v)
	if err != nil {
		return err
	}
	// Subscribed before the first "look", no change falls in between.
	wake, cancel := p.Signals.Subscribe(notify.PatientKey(v.who.ID), notify.InboxKey(v.who.Login), notify.ServiceKey(c.Service))
	defer cancel()
	if !p.streams.Serve(w, r, v.who.ID, wake) {
		return fhir.Errorf(fhir.CodeThrottled, "", "This page is open too often.")
	}
	return nil
}
