// Package source is what a hospital's own system needs to hold virtual
// consultations through the exchange: it books them, hears when a patient has
// checked in, opens the room, lets the practitioner in and closes the record.
//
// A source system has a client id and a secret from its registration. Client
// signs in by itself, renews its token, tries again what may be sent twice, and
// turns refusals into Error. Everything is a method of Client but for the
// writing of records, which needs no connection.
//
// # One patient (VCI)
//
//  1. The hospital books: NewAppointment with service type VCI, then Put. When
//     patients may choose their own time, NewSchedule and NewSlot go before, in
//     one NewTransaction.
//  2. The patient checks in at the portal. The exchange opens a session and
//     writes the Encounter (status arrived), whose identifier holds the session
//     token.
//  3. The Encounter arrives through Consume on EncounterTopic; mycore.Token
//     reads the token.
//  4. When the practitioner is ready: Join gives the address of the room,
//     Activate lets the waiting patient in, Notify tells the patient. The
//     exchange sets the Encounter to in-progress when the patient has joined.
//  5. Afterwards End closes the room, and the Encounter is read with Get,
//     finished with FinishEncounter and written back with PutIf.
//
// # A group (VCE)
//
//  1. The hospital opens the session itself: CreateSession gives the token.
//  2. NewSchedule and NewSlot (with the group's quota) carry that token, and so
//     does NewAppointment for each patient.
//  3. Each patient checks in; each has an Encounter of their own, all with the
//     same token, and each arrives on EncounterTopic.
//  4. Join, Activate and Notify happen once for all.
//  5. End closes the room; every Encounter is finished for itself.
//
// # What to rely on
//
// Events come at least once and in order for one record: Seen passes over what
// came before, and acts that must not happen twice need a key of the source
// system's own, such as the IdempotencyKey of a Notification. Between reading
// and writing a record others may change it: PutIf notices. Session tokens,
// credentials and records belong into no log; the errors of this package hold
// none of them. Use https outside a laptop, for the secret and the records
// travel as the URL says.
//
// The package keeps nothing on disk: what a source system must not forget, it
// has to store itself.
package source
