package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/play"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

// TestNodeWhoseClockJumps lets consultations go from one node to another whose
// clock is set forward and back in between. Versions and events keep their
// order, and what one node has given out the other takes.
func TestNodeWhoseClockJumps(t *testing.T) {
	var wrong atomic.Int64
	c := clusterAt(t, func() time.Time { return time.Now().Add(time.Duration(wrong.Load())) })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	right, skewed := c.system(t, at(c.a)), c.system(t, at(c.b))
	want := map[string]string{}
	jumps := []time.Duration{20 * time.Minute, -20 * time.Minute, 3 * time.Second, 0}
	for i, jump := range jumps {
		wrong.Store(int64(jump))
		for _, nodes := range [][2]string{{at(c.a), at(c.b)}, {at(c.b), at(c.a)}} {
			if got := asks(t, token(t, c, nodes[0]), nodes[1]); got != http.StatusOK {
				t.Errorf("with a clock that is wrong by %v, a token of %s gives %d at %s", jump, nodes[0], got, nodes[1])
			}
		}
		p := c.a.cast.Patients[i%2]
		id := fmt.Sprintf("clock-%d", i)
		c.book(t, right, id, p)
		phone := play.NewPatient(at(c.b))
		if err := phone.SignIn(ctx, p.IdentityNumber, p.SignInCode); err != nil {
			t.Fatalf("with a clock that is wrong by %v: %v", jump, err)
		}
		if err := phone.CheckIn(ctx, id); err != nil {
			t.Fatalf("with a clock that is wrong by %v: %v", jump, err)
		}
		visit := encounter(t, right, id)
		if _, err := right.Activate(ctx, mycore.Token(visit)); err != nil {
			t.Fatal(err)
		}
		if err := phone.Await(ctx, id, "ready"); err != nil {
			t.Fatal(err)
		}
		wrong.Store(-int64(jump)) // in the middle
		started, err := encounter(t, skewed, id).With(fhir.Set("status", "in-progress"))
		if err == nil {
			_, err = skewed.Put(ctx, started)
		}
		if err != nil {
			t.Fatal(err)
		}
		finished, err := source.FinishEncounter(encounter(t, right, id), source.FinishParams{At: time.Now().Add(max(jump, -jump)), Outcome: "1", PractitionerName: "Dr Aminah"})
		if err == nil {
			_, err = right.Put(ctx, finished)
		}
		if err != nil {
			t.Fatal(err)
		}
		want[visit.ID()] = "arrived in-progress finished"
	}
	c.statuses(ctx, t, right, want)
}

// token signs the source system of the demo in at a node.
func token(t *testing.T, c *cluster, server string) string {
	t.Helper()
	client := c.a.cast.Clients[0]
	resp, err := http.PostForm(server+"/auth/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {client.ClientID}, "client_secret": {client.ClientSecret},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	return got.AccessToken
}

// asks gives the status with which a node answers the bearer of a token.
func asks(t *testing.T, token, server string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server+"/baseR4/Organization?_summary=count", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return func() int { _ = resp.Body.Close(); return resp.StatusCode }()
}
