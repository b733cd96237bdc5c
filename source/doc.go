// Package source is the part of the exchange that runs in a hospital's own
// system: it books virtual consultations, hears about them, opens their rooms
// and closes their records.
package source
