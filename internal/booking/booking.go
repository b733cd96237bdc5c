// Package booking gives out the places of slots. The exchange is the
// authority: what is available is always the quota less the live bookings,
// whatever the sender of a Slot wrote.
//
// Counting and writing happen in the caller's serializable transaction, so
// that of many simultaneous bookings exactly as many succeed as there are
// places. The package does not know who may book.
package booking

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/mycore"
)

// holds says which appointment statuses take a place. A missed appointment
// has used its place; a cancelled one gives it back.
var holds = map[string]bool{
	"pending": true, "booked": true, "checked-in": true, "arrived": true, "fulfilled": true, "noshow": true,
}

// Slots gives the ids of the slots that an appointment holds a place in.
func Slots(appointment *fhir.Document) []string {
	if appointment == nil || !holds[appointment.Get("status").String()] {
		return nil
	}
	var ids []string
	for n := range appointment.All("slot.reference") {
		if ref, ok := fhir.ParseReference(n.String(), ""); ok && ref.Type == "Slot" {
			ids = append(ids, ref.ID)
		}
	}
	return ids
}

// Desk books and releases places.
type Desk struct {
	Records *record.Keeper
}

// Move changes the bookings of an appointment from what it held before to what
// it holds after; either may be nil. The Slots concerned are rewritten. The
// error is a fhir.Error with code conflict when a slot has no place left.
func (d *Desk) Move(tx store.Tx, by auth.Principal, appointment string, before, after *fhir.Document) error {
	old, now := Slots(before), Slots(after)
	for _, slot := range old {
		if slices.Contains(now, slot) {
			continue
		}
		if err := tx.Unbook(slot, appointment); err != nil {
			return err
		}
		if err := d.refresh(tx, by, slot); err != nil {
			return err
		}
	}
	for i, slot := range now {
		if slices.Contains(old, slot) || slices.Contains(now[:i], slot) {
			continue
		}
		if err := d.book(tx, by, slot, appointment); err != nil {
			return err
		}
	}
	return nil
}

func (d *Desk) book(tx store.Tx, by auth.Principal, slot, appointment string) error {
	cur, err := record.Find(tx, "Slot", slot)
	if err != nil {
		return err
	}
	if cur == nil {
		return fhir.Errorf(fhir.CodeBusinessRule, "Appointment.slot", "The slot does not exist.")
	}
	booked, err := tx.Booked(slot)
	if err != nil {
		return err
	}
	status := cur.Doc.Get("status").String()
	quota, _, limited := mycore.Quota(cur.Doc)
	switch {
	case status == "busy-unavailable" || status == "busy-tentative" || status == "entered-in-error":
		return fhir.Errorf(fhir.CodeConflict, "Appointment.slot", "The slot cannot be booked: its status is %s.", status)
	case limited && int64(booked) >= quota, !limited && status == "busy":
		return fhir.Errorf(fhir.CodeConflict, "Appointment.slot", "The slot is full: all its places are taken.")
	}
	if err := tx.Book(slot, appointment); err != nil {
		return err
	}
	return d.refresh(tx, by, slot)
}

// refresh rewrites a Slot whose number of bookings has changed.
func (d *Desk) refresh(tx store.Tx, by auth.Principal, slot string) error {
	cur, err := record.Find(tx, "Slot", slot)
	if err != nil || cur == nil {
		return err
	}
	doc, err := d.Derive(tx, slot, cur.Doc)
	if err != nil || doc == cur.Doc {
		return err
	}
	_, err = d.Records.Put(tx, record.Version{Doc: doc, ID: slot, Method: "PUT", Before: cur, By: by})
	return err
}

// Derive gives a Slot with the availability and status that follow from its
// quota and bookings: the same document when nothing changes.
func (d *Desk) Derive(r store.Reader, slot string, doc *fhir.Document) (*fhir.Document, error) {
	quota, available, ok := mycore.Quota(doc)
	if !ok {
		return doc, nil
	}
	booked, err := r.Booked(slot)
	if err != nil {
		return nil, err
	}
	left := max(0, quota-int64(booked))
	var edits []fhir.Edit
	if left != available {
		edits = append(edits, setAvailable(doc, left))
	}
	switch status := doc.Get("status").String(); {
	case status == "free" && left == 0:
		edits = append(edits, fhir.Set("status", "busy"))
	case status == "busy" && left > 0:
		edits = append(edits, fhir.Set("status", "free"))
	}
	if len(edits) == 0 {
		return doc, nil
	}
	return doc.With(edits...)
}

// setAvailable writes the number as the sender did: as an integer or as text.
func setAvailable(doc *fhir.Document, left int64) fhir.Edit {
	outer := 0
	for ext := range doc.All("extension") {
		if ext.Get("url").Is(mycore.ExtensionSlotQuota) {
			inner := 0
			for part := range ext.All("extension") {
				if part.Get("url").Is("available") {
					path := "extension." + strconv.Itoa(outer) + ".extension." + strconv.Itoa(inner)
					if part.Get("valueString").Exists() {
						return fhir.Set(path+".valueString", strconv.FormatInt(left, 10))
					}
					return fhir.Set(path+".valueInteger", left)
				}
				inner++
			}
			return fhir.Append("extension."+strconv.Itoa(outer)+".extension",
				json.RawMessage(`{"url":"available","valueInteger":`+strconv.FormatInt(left, 10)+`}`))
		}
		outer++
	}
	return fhir.Edit{} // unreachable: Derive has found the quota
}
