//go:build unix

package fault

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkNodes measures with `jumpa load` what one, two and four nodes over
// one PostgreSQL and one Apache Kafka carry, beside one node with everything
// in it. All of them share this machine with the load.
func BenchmarkNodes(b *testing.B) {
	b.Run("embedded", func(b *testing.B) {
		b.StopTimer()
		carries(b, single(b))
	})
	for _, nodes := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			b.StopTimer()
			carries(b, newCluster(b, nodes, "apache", bare).site)
		})
	}
}

// loads are the ways to drive an exchange, and what is read in the reports:
// a figure and its unit.
var loads = []struct {
	args    []string
	figures map[string]string
}{
	{[]string{"fhir"}, map[string]string{
		"PUT/s": `PUT Appointment .*= (\d+)/s`, "PUT-p99-ms": `PUT Appointment .*p99 (\S+)`,
		"GET/s": `GET by id .*= (\d+)/s`, "GET-p99-ms": `GET by id .*p99 (\S+)`,
	}},
	{[]string{"checkin", "--rate", "200"}, map[string]string{
		"tap-p50-ms": `check-in .*p50 (\S+)`, "tap-p99-ms": `check-in .*p99 (\S+)`,
		"topic-p50-ms": `tap to topic .*p50 (\S+)`, "topic-p99-ms": `tap to topic .*p99 (\S+)`, "lost": `tap to topic .* (\d+) lost`,
	}},
}

// carries drives a site for twenty seconds in each way.
func carries(b *testing.B, s *site) {
	b.Helper()
	var further []string
	for _, n := range s.nodes[1:] {
		further = append(further, n.url)
	}
	for _, l := range loads {
		args := append([]string{"load", "--data", s.data, "--server", s.nodes[0].url, "--duration", "20s"}, l.args...)
		if len(further) > 0 {
			args = append(args, "--nodes", strings.Join(further, ","))
		}
		report, err := exec.CommandContext(b.Context(), build(b), args...).CombinedOutput()
		if err != nil {
			b.Fatalf("%v: %v\n%s", args, err, report)
		}
		for unit, pattern := range l.figures {
			b.ReportMetric(figure(b, string(report), pattern), unit)
		}
	}
	for unit, metric := range map[string]string{"conflicts": "jumpa_store_conflicts_total", "retries": "jumpa_store_retries_total"} {
		sum := 0.0
		for _, n := range s.nodes {
			text, err := n.metric(b.Context(), metric)
			if err != nil {
				continue // SQLite has none
			}
			of, err := strconv.ParseFloat(text, 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += of
		}
		b.ReportMetric(sum, unit)
	}
	b.ReportMetric(0, "ns/op") // of no meaning here
}

// figure reads a number, or milliseconds of a duration, in a report.
func figure(b *testing.B, report, pattern string) float64 {
	b.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(report)
	if found == nil {
		b.Fatalf("the report does not have %s:\n%s", pattern, report)
	}
	if took, err := time.ParseDuration(found[1]); err == nil {
		return float64(took) / float64(time.Millisecond)
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}
