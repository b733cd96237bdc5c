package api

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirxml"
)

// minZip is the size from which an answer is worth compressing. A smaller one is
// in three packets at most, and compressing it would be a tenth of the work of a
// read.
const minZip = 4 << 10

// answerLimits bound an answer that is made into XML: a page of a search is
// larger than any one document.
var answerLimits = fhir.Limits{Bytes: 64 << 20, Depth: fhir.DefaultLimits.Depth + 8, Nodes: 4_000_000}

// packers are used again and again: each of them is large.
var packers = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // never fails with this level
	return w
}}

// answer brings what a handler writes, always JSON, into the format that the
// reader asked for. JSON as it is goes through as it comes, all else is kept
// until the handler is done.
type answer struct {
	http.ResponseWriter
	media  string // of the Content-Type
	pretty bool
	zip    bool // the reader takes gzip
	head   bool // the headers are all that goes out
	status int
	kept   bytes.Buffer
	out    io.Writer // nil while nothing is on its way
	packed *gzip.Writer
}

// newAnswer gives the answer to a request. The error says that there is no
// format in which reader and exchange can meet; the answer tells it in JSON.
func newAnswer(w http.ResponseWriter, r *http.Request) (*answer, error) {
	a := &answer{ResponseWriter: w, media: mediaFHIR, head: r.Method == http.MethodHead}
	if _, within := w.(*batchAnswer); within {
		return a, nil
	}
	h := w.Header()
	h.Add("Vary", "Accept, Accept-Encoding")
	a.zip = takesGzip(r.Header.Values("Accept-Encoding"))
	f, err := negotiate(r)
	if err != nil {
		return a, err
	}
	a.media, a.pretty = f.media, f.pretty
	h.Set("Content-Type", f.media+";charset=utf-8")
	return a, nil
}

// as answers in the format that a form asks for, which goes before what the
// headers of the request say.
func (a *answer) as(name string) error {
	media := acceptable(name)
	if media == "" {
		return errFormat()
	}
	a.media = media
	a.Header().Set("Content-Type", media+";charset=utf-8")
	return nil
}

// takesGzip reads Accept-Encoding.
func takesGzip(header []string) bool {
	takes := false
	for part := range strings.SplitSeq(strings.Join(header, ","), ",") {
		name, params, _ := strings.Cut(part, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		q := 1.0
		if value, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(params), " ", ""), "q="); ok {
			q, _ = strconv.ParseFloat(value, 64)
		}
		switch name {
		case "gzip", "x-gzip":
			return q > 0
		case "*":
			takes = q > 0
		}
	}
	return takes
}

func (a *answer) xml() bool { return isXML(a.media) }

// begun tells whether the answer is on its way.
func (a *answer) begun() bool { return a.out != nil || started(a.ResponseWriter) }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if a.out != nil {
		return a.out.Write(p)
	}
	n, _ := a.kept.Write(p) // never fails
	if !a.xml() && !a.pretty && a.kept.Len() >= minZip {
		return n, a.send()
	}
	return n, nil
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// forget drops what was written and is not on its way.
func (a *answer) forget() { a.status, a.kept = 0, bytes.Buffer{} }

// send puts what is kept on its way.
func (a *answer) send() error {
	h := a.Header()
	if a.out = a.ResponseWriter; a.head {
		a.out = io.Discard
	}
	if a.zip && a.kept.Len() >= minZip && h.Get("Content-Encoding") == "" {
		h.Set("Content-Encoding", "gzip")
		h.Del("Content-Length")
		a.packed = packers.Get().(*gzip.Writer)
		a.packed.Reset(a.out)
		a.out = a.packed
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	a.ResponseWriter.WriteHeader(a.status)
	if a.kept.Len() == 0 {
		return nil // some statuses have no body
	}
	_, err := a.out.Write(a.kept.Bytes())
	a.kept = bytes.Buffer{}
	return err
}

// finish sends what is left. The reader may have gone; that is no error.
func (a *answer) finish(r *http.Request) {
	if a.out == nil {
		if a.kept.Len() > 0 && (a.xml() || a.pretty) {
			a.convert(r)
		}
		_ = a.send()
	}
	if a.packed != nil {
		_ = a.packed.Close()
		packers.Put(a.packed)
		a.packed = nil
	}
}

// convert makes the format out of the JSON that is kept.
func (a *answer) convert(r *http.Request) {
	body, err := a.formatted(a.kept.Bytes())
	if err != nil && reads(r, routes) {
		fail(a, r, err) // as JSON, which can say everything
		a.Header().Set("Content-Type", mediaFHIR+";charset=utf-8")
		return
	}
	if err != nil { // what was asked for is done, and this must not hide it
		var e *fhir.Error
		if !errors.As(err, &e) {
			e = fhir.Errorf(fhir.CodeNotSupported, "", "The record has no form in XML.")
		}
		body, _ = a.formatted(fhir.Outcome(fhir.Issues{fhir.Warningf(e.Code, e.Expression, "This is done. %s", e.Diagnostics)}, ""))
	}
	h := a.Header()
	h.Set("Content-Type", a.media+";charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	a.kept = *bytes.NewBuffer(body)
}

// reads tells whether a request changes nothing: of what is POSTed, searches
// and most operations.
func reads(r *http.Request, routes []fhirRoute) bool {
	if r.Method != http.MethodPost {
		return r.Method == http.MethodGet || r.Method == http.MethodHead
	}
	last := path.Base(r.URL.Path)
	return last == "_search" || operationOf(last, "") != nil && !changes(last, routes)
}

func (a *answer) formatted(body []byte) ([]byte, error) {
	if !a.xml() {
		var out bytes.Buffer
		err := json.Indent(&out, body, "", "  ")
		return append(out.Bytes(), '\n'), err
	}
	doc, err := fhir.ParseWithin(body, answerLimits)
	if err != nil {
		return nil, fhir.Errorf(fhir.CodeTooCostly, "", "The answer is too large for XML; ask for a smaller page or for JSON.").WithStatus(http.StatusNotAcceptable)
	}
	out, err := fhirxml.Encode(doc)
	if err == nil && a.pretty {
		out = indentXML(out)
	}
	return out, err
}

// indentXML puts every element on a line of its own. A narrative is text, in
// which white space counts, and stays as it is.
func indentXML(in []byte) []byte {
	out := make([]byte, 0, len(in)+len(in)/4)
	depth, narrative := 0, 0
	for i := 0; i < len(in); {
		if in[i] != '<' {
			if narrative > 0 || in[i] > ' ' {
				out = append(out, in[i])
			}
			i++
			continue
		}
		end := tagEnd(in, i)
		tag := in[i:end]
		i = end
		closing, empty := tag[1] == '/', tag[len(tag)-2] == '/'
		if narrative > 0 {
			out = append(out, tag...)
			switch {
			case closing:
				narrative--
			case !empty && tag[1] != '!' && tag[1] != '?':
				narrative++
			}
			if narrative == 0 {
				depth--
			}
			continue
		}
		if closing {
			depth--
		}
		if len(out) > 0 {
			out = append(append(out, '\n'), strings.Repeat("  ", depth)...)
		}
		out = append(out, tag...)
		if tag[1] == '?' || closing || empty {
			continue
		}
		depth++
		if bytes.HasPrefix(tag, []byte("<div ")) || bytes.HasPrefix(tag, []byte("<div>")) {
			narrative = 1
		}
	}
	return append(out, '\n')
}

// tagEnd gives the place behind the tag that begins at i.
func tagEnd(in []byte, i int) int {
	if bytes.HasPrefix(in[i:], []byte("<!--")) {
		if n := bytes.Index(in[i:], []byte("-->")); n > 0 {
			return i + n + 3
		}
	}
	quote := byte(0)
	for i++; i < len(in); i++ {
		switch c := in[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return len(in)
}
