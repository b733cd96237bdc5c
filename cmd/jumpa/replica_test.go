package main

import (
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
)

func TestCheckOfReplicas(t *testing.T) {
	primary := postgrestest.Own(t, "fsync=off")
	standby := primary.Standby(t, "fsync=off")
	database := "JUMPA_DATABASE_URL=" + primary.URL()
	replicas := "JUMPA_DATABASE_REPLICA_URL=" + standby.URL() + ", postgres://hie:clinic-secret@127.0.0.1:1/hie"
	r := runs(t, []string{database, replicas}, "check", "--data", t.TempDir())
	out := strings.Join(strings.Fields(r.stdout), " ")
	if r.status != 1 || !strings.Contains(out, "ok replica 1 is a standby of the database") || !strings.Contains(out, "FAILED replica 2 of JUMPA_DATABASE_REPLICA_URL is not used") || strings.Contains(r.stdout+r.stderr, "clinic-secret") {
		t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	replicas = "JUMPA_DATABASE_REPLICA_URL=" + standby.URL()
	if r := runs(t, []string{database, replicas}, "check", "--data", t.TempDir()); r.status != 1 || !strings.Contains(r.stdout, "it is not a standby") {
		t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	if r := runs(t, []string{replicas}, "check", "--data", t.TempDir()); r.status != 0 { // SQLite
		t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
}
