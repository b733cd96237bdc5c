package source_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

func ExampleNewAppointment() {
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, fhir.Malaysia)
	doc, err := source.NewAppointment(source.AppointmentParams{
		ID: "follow-up-1", ServiceType: mycore.ServiceIndividual, Specialty: "86",
		HealthcareService: "clinic", Patient: "p1", PatientName: "Siti binti Ahmad",
		Start: start, End: start.Add(30 * time.Minute), ScheduleType: "internal",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(doc.Type(), doc.ID(), doc.Get("status"), mycore.ServiceType(doc), doc.Get("start"))
	// Output: Appointment follow-up-1 booked VCI 2026-11-23T09:00:00.000+08:00
}

// A desk hears of patients who have checked in, and calls each one.
func ExampleClient_Consume() {
	client, err := source.New(source.Config{
		Server: "https://hie.example.my", ClientID: "htj", ClientSecret: "…", Kafka: []string{"kafka.example.my:9092"},
	})
	if err != nil {
		log.Fatal(err)
	}
	seen := source.NewSeen(0)
	config := source.ConsumerConfig{Group: "htj-desk", Topics: []string{source.EncounterTopic("11-05060009")}, FromStart: true}
	err = client.Consume(context.Background(), config, func(ctx context.Context, event source.Event) error {
		if seen.Has(event.ID) || event.Focus == nil || !event.Focus.Get("status").Is("arrived") {
			return nil
		}
		if err := call(ctx, client, event.Focus); err != nil {
			return err // the event comes again
		}
		seen.Add(event.ID)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}

// call opens the room of an Encounter and tells the patient.
func call(ctx context.Context, client *source.Client, encounter *fhir.Document) error {
	token := mycore.Token(encounter)
	room, err := client.Join(ctx, token, source.JoinRequest{Name: "Dr Lim", ID: "lim"})
	if err != nil {
		return err
	}
	if _, err := client.Activate(ctx, token); err != nil {
		return err
	}
	show(room.JoinURL)
	patient, _ := fhir.ParseReference(encounter.Get("subject.reference").String(), "")
	_, err = client.Notify(ctx, source.Notification{
		Title: "Your consultation begins", Body: "You can now join the room.",
		PatientIDs: []string{patient.ID}, IdempotencyKey: encounter.ID() + "-ready",
	})
	return err
}

// show stands for the desk's own screen.
func show(string) {}

// A consultation is closed with the version that was read; when somebody else
// changed the record meanwhile, it is read again.
func ExampleFinishEncounter() {
	finish := func(ctx context.Context, client *source.Client, reference string) error {
		for {
			encounter, err := client.Get(ctx, reference)
			if err != nil {
				return err
			}
			done, err := source.FinishEncounter(encounter, source.FinishParams{
				At: time.Now(), Outcome: "1", Practitioner: "lim", PractitionerName: "Dr Lim",
			})
			if err != nil {
				return err
			}
			version, _ := encounter.Get("meta.versionId").Int()
			_, err = client.PutIf(ctx, done, version)
			var refused *source.Error
			if errors.As(err, &refused) && refused.Status == http.StatusPreconditionFailed {
				continue
			}
			return err
		}
	}
	_ = finish
}

func ExampleParseEvent() {
	headers := map[string]string{
		"ce_specversion": "1.0", "ce_id": "hie.vc.encounter.o1/Encounter/e1/_history/2",
		"ce_type": "my.gov.moh.hie.vc.encounter-in-progress.v1", "ce_subject": "Encounter/e1", "ce_time": "2026-11-23T09:05:00+08:00",
	}
	value := `{"resourceType":"Bundle","type":"history","entry":[{"resource":{"resourceType":"Encounter","id":"e1","status":"in-progress"}}]}`
	event, err := source.ParseEvent(headers, []byte(value))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(event.Topic, event.Subject, event.Focus.Get("status"))
	// Output: hie.vc.encounter.o1 Encounter/e1 in-progress
}
