package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirxml"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

const (
	mediaXML  = "application/fhir+xml"
	maxAnswer = 64 << 10 // bytes of an answer that are read; nobody looks at them
)

// failure is why an attempt has failed, in words that the subscriber may read.
type failure struct {
	reason string
	after  time.Duration // what the endpoint asks to wait
}

// reach finds out whether an endpoint may be sent to, without sending.
func (s *Service) reach(ctx context.Context, o subscription.Order) *failure {
	ctx, cancel := context.WithTimeout(ctx, o.Wait())
	defer cancel()
	return failed(s.Guard.Reach(ctx, o.Endpoint))
}

// send makes one attempt.
func (s *Service) send(ctx context.Context, a act) *failure {
	ctx, cancel := context.WithTimeout(ctx, a.order.Wait())
	defer cancel()
	req, err := request(ctx, a)
	if err != nil {
		return failed(err)
	}
	if req == nil {
		return nil
	}
	if err := s.Guard.Check(a.order.Endpoint); err != nil {
		return failed(err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return failed(err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // so that the connection can be used again
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode/100 == 3:
		return &failure{reason: fmt.Sprintf("The endpoint sends elsewhere (status %d); notifications follow no redirects.", resp.StatusCode)}
	}
	return &failure{reason: fmt.Sprintf("The endpoint answered with status %d.", resp.StatusCode), after: retryAfter(resp.Header.Get("Retry-After"))}
}

// request makes the request of an attempt; nil when there is nothing to send.
func request(ctx context.Context, a act) (*http.Request, error) {
	o, method, body := a.order, http.MethodPost, a.body
	to, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if o.Plain() && o.Format != "" {
		focus := a.note.Events[0].Focus
		if focus == nil {
			return nil, nil // the subscriber may not see it any more
		}
		method, to, body = http.MethodPut, to.JoinPath(focus.Type(), focus.ID()), focus.Bytes()
	}
	if o.Format == mediaXML {
		if body, err = toXML(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for _, h := range o.Headers {
		req.Header.Add(h.Name, h.Value)
	}
	if o.Format != "" {
		req.Header.Set("Content-Type", o.Format)
	}
	req.Header.Set("User-Agent", "Jumpa")
	return req, nil
}

// toXML gives a document as FHIR XML.
func toXML(body []byte) ([]byte, error) {
	doc, err := fhir.Parse(body)
	if err != nil {
		return nil, err
	}
	return fhirxml.Encode(doc)
}

// failed turns an error into what the subscriber may know of it: nothing of
// names, addresses or headers.
func failed(err error) *failure {
	var refused *fhir.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return &failure{reason: refused.Diagnostics}
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{reason: "The endpoint did not answer in time."}
	}
	return &failure{reason: "The endpoint could not be reached."}
}

// retryAfter reads how many seconds an endpoint asks to wait, up to an hour.
func retryAfter(text string) time.Duration {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, time.Hour)
}
