package app

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
)

// Credentials is the content of demo.json: who can sign in to a demo exchange.
// Scripts and the commands demo, load and listen read it.
type Credentials struct {
	Server             string             `json:"server"`
	Kafka              string             `json:"kafka"`
	Clients            []ClientCredential `json:"clients"`
	Patients           []DemoPatient      `json:"patients"`
	Practitioners      []DemoPractitioner `json:"practitioners"`
	Operators          []DemoOperator     `json:"operators"`
	HealthcareServices []DemoService      `json:"healthcareServices"`
}

// ClientCredential lets a source system in.
type ClientCredential struct {
	Name         string `json:"name"`
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
	Organization string `json:"organization"`
	Email        string `json:"email"`
	Password     string `json:"password"`

	Topics []string `json:"topics"` // that the organisation may read
}

// DemoPatient is a patient with a standing sign-in code.
type DemoPatient struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	IdentityNumber string `json:"identityNumber"`
	SignInCode     string `json:"signInCode"`
	RekodSaya      bool   `json:"rekodSaya"`
}

// DemoPractitioner signs in to the desk.
type DemoPractitioner struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Username     string `json:"username"`
	Password     string `json:"password"`
	Organization string `json:"organization"`
}

// DemoOperator signs in to the operator console.
type DemoOperator struct {
	Name     string `json:"name"`
	Username string `json:"username"`
	Password string `json:"password"`
}

// DemoService is a HealthcareService that appointments can be made for.
type DemoService struct {
	ID           string `json:"id"`
	Organization string `json:"organization"`
	ServiceType  string `json:"serviceType"`
}

const demoFile = "demo.json"

// ReadCredentials reads demo.json from a data directory.
func ReadCredentials(data string) (Credentials, error) {
	var c Credentials
	raw, err := os.ReadFile(filepath.Join(data, demoFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c, usage("--data: there is no %s in %s; start `jumpa up` with the same --data first", demoFile, data)
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("%s is damaged: %w", demoFile, err)
	}
	return c, nil
}

// write stores the credentials for their owner alone.
func (c Credentials) write(data string) error {
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	next := filepath.Join(data, demoFile+".next")
	if err := os.WriteFile(next, append(raw, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(data, demoFile))
}

// secret gives 256 random bits.
func secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// sixDigits gives a random sign-in code.
func sixDigits() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(1_000_000)) // never fails
	return fmt.Sprintf("%06d", n)
}

// castOf gives the people of a demo, with the secrets of an earlier start
// where there are any.
func castOf(data string) (Credentials, error) {
	known, err := ReadCredentials(data)
	var missing *UsageError
	if err != nil && !errors.As(err, &missing) {
		return known, err
	}
	if err == nil && len(known.Clients) == len(facilities) && len(known.Patients) == len(people) {
		return known, nil
	}
	c := Credentials{Operators: []DemoOperator{}} // there is no operator console to sign in to
	for _, f := range facilities {
		c.Clients = append(c.Clients, ClientCredential{
			Name: f.name, ClientID: f.mnemonic, ClientSecret: secret(), Organization: f.id,
			Email: f.mnemonic + "@source.example", Password: secret(),
		})
		c.Practitioners = append(c.Practitioners, DemoPractitioner{
			ID: f.practitioner.id, Name: f.practitioner.name, Username: f.practitioner.username,
			Password: "demo-" + sixDigits(), Organization: f.id,
		})
		for _, kind := range []string{"VCI", "VCE"} {
			c.HealthcareServices = append(c.HealthcareServices, DemoService{ID: f.service(kind), Organization: f.id, ServiceType: kind})
		}
	}
	for _, p := range people {
		c.Patients = append(c.Patients, DemoPatient{
			ID: p.id, Name: p.name, IdentityNumber: p.identityNumber, SignInCode: sixDigits(), RekodSaya: p.rekodSaya,
		})
	}

	return c, nil
}
