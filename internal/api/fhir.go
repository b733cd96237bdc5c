// Package api is the door of the exchange for other systems: the FHIR R4
// interface, the Jitsi session and notification APIs, and the OAuth2 endpoints
// that give out access tokens.
//
// Handlers return errors, and one place turns them into OperationOutcomes. The
// FHIR interface has one file for each interaction; its CapabilityStatement is
// made from the tables that the handlers themselves use. Stored documents go
// out with the bytes in which they are kept.
//
// The handlers write JSON; who asks for XML gets it made of that. The package
// decides nothing about records or consultations.
package api

import (
	"context"
	"crypto/cipher"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/terminology"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/exchange"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Root is the path below which the FHIR interface answers.
const Root = "/baseR4"

// Exchange is what the FHIR interface needs; exchange.Service is one. Its
// errors are fhir.Error or fhir.Issues.
type Exchange interface {
	Read(ctx context.Context, p auth.Principal, typ, id string) (store.Resource, error)
	VRead(ctx context.Context, p auth.Principal, typ, id string, version int64) (store.Resource, error)
	Put(ctx context.Context, p auth.Principal, w exchange.Write) (exchange.Outcome, error)
	Create(ctx context.Context, p auth.Principal, w exchange.Write) (exchange.Outcome, error)
	Patch(ctx context.Context, p auth.Principal, w exchange.Patch) (exchange.Outcome, error)
	Delete(ctx context.Context, p auth.Principal, typ, id string, ifMatch exchange.Match) (exchange.Outcome, error)
	DeleteMatch(ctx context.Context, p auth.Principal, typ string, condition url.Values, ifMatch exchange.Match) (exchange.Outcome, error)
	Transaction(ctx context.Context, p auth.Principal, bundle *fhir.Document, ask exchange.Ask) (exchange.TransactionResult, error)
	Validate(ctx context.Context, p auth.Principal, v exchange.Validation) (fhir.Issues, error)
	Label(ctx context.Context, p auth.Principal, l exchange.Labels) (store.Resource, error)
	LabelsOf(ctx context.Context, p auth.Principal, typ string) (meta []byte, err error)
	Book(ctx context.Context, p auth.Principal, b exchange.Book) (exchange.Outcome, error)
	Everything(ctx context.Context, p auth.Principal, q exchange.Everything) (exchange.SearchResult, error)
	ParseSearch(path string, values url.Values) (search.Request, error)
	Search(ctx context.Context, p auth.Principal, req search.Request) (exchange.SearchResult, error)
	History(ctx context.Context, p auth.Principal, q exchange.HistoryQuery) (exchange.SearchResult, error)
	Page(ctx context.Context, p auth.Principal, at exchange.Place) (exchange.Asked, exchange.SearchResult, error)
	Ask(ctx context.Context, p auth.Principal, operation, typ, id string) (*fhir.Document, error)
}

// FHIROptions is what NewFHIR needs.
type FHIROptions struct {
	Exchange      Exchange
	Terms         *terminology.Service // answers questions about codes
	Subscriptions Subscriptions        // serves them; nil serves none
	Base          func() string        // the public FHIR base URL, such as https://host/baseR4
	Clock         func() time.Time     // nil: time.Now
	Version       string               // of the program, for the CapabilityStatement
	// PageKey seals the links between pages of a result: 32 bytes, the same
	// on every node. When it is empty, a random key is made and links do not
	// outlive the process.
	PageKey []byte
	// Origins are the web origins, such as https://app.example, whose pages
	// may use the interface from a browser; "*" is all of them. There are none
	// by default.
	Origins []string
}

// FHIR is the FHIR R4 interface: a handler for everything below Root. The
// principal of a request is taken from its context.
type FHIR struct {
	exchange Exchange
	terms    *terminology.Service
	subs     Subscriptions
	base     func() string
	clock    func() time.Time
	version  string
	pages    cipher.AEAD
	origins  []string
	mux      *http.ServeMux

	capability struct { // the statements by mode, made once for each base
		sync.Mutex
		base   string
		bodies map[string]taggedBody
	}
	routes  []fhirRoute
	started time.Time
}

// NewFHIR gives the handler. The error says that the key is not 32 bytes.
func NewFHIR(o FHIROptions) (*FHIR, error) {
	f := &FHIR{exchange: o.Exchange, terms: o.Terms, subs: o.Subscriptions, base: o.Base, clock: o.Clock, version: o.Version, origins: o.Origins, mux: http.NewServeMux(), routes: routes}
	if f.clock == nil {
		f.clock = time.Now
	}
	f.started = f.clock()
	var err error
	if f.pages, err = pageCipher(o.PageKey); err != nil {
		return nil, err
	}
	for _, r := range routes {
		f.mux.Handle(Root+r.pattern, f.route(r))
	}
	return f, nil
}

// Register puts the interface on a mux.
func (f *FHIR) Register(mux *http.ServeMux) {
	mux.Handle(Root, f)
	mux.Handle(Root+"/", f)
}

// ServeHTTP answers a request below Root.
func (f *FHIR) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.mux.ServeHTTP(w, zoned(r)) }

// fhirRoute is one address of the interface with what can be done there. The
// CapabilityStatement is made from the same table.
type fhirRoute struct {
	pattern string
	methods []fhirMethod
}

type fhirMethod struct {
	name        string
	interaction string // in the words of the CapabilityStatement
	action      auth.Action
	serve       func(*FHIR, http.ResponseWriter, *http.Request) error
}

var routes = []fhirRoute{
	{"", systemMethods},
	{"/{$}", systemMethods},
	{"/metadata", []fhirMethod{{"GET", "capabilities", "", (*FHIR).metadata}}},
	{"/_search", []fhirMethod{{"POST", "search-system", auth.Search, (*FHIR).searchForm}}},
	{"/_history", []fhirMethod{{"GET", "history-system", auth.Read, (*FHIR).history}}},
	{"/{type}", []fhirMethod{
		{"GET", "search-type", auth.Search, (*FHIR).search},
		{"POST", "create", auth.Create, (*FHIR).create},
		{"PUT", conditionalUpdate, auth.Update, (*FHIR).update},
		{"PATCH", conditionalPatch, auth.Update, (*FHIR).patch},
		{"DELETE", conditionalDelete, auth.Delete, (*FHIR).delete},
	}},
	{"/{type}/_search", []fhirMethod{{"POST", "search-type", auth.Search, (*FHIR).searchForm}}},
	{"/{type}/_history", []fhirMethod{{"GET", "history-type", auth.Read, (*FHIR).history}}},
	{"/{type}/{id}", []fhirMethod{
		{"GET", "read", auth.Read, (*FHIR).read},
		{"PUT", "update", auth.Update, (*FHIR).update},
		{"PATCH", "patch", auth.Update, (*FHIR).patch},
		{"DELETE", "delete", auth.Delete, (*FHIR).delete},
	}},
	{"/{type}/{id}/{member}", []fhirMethod{{"GET", searchCompartment, auth.Search, (*FHIR).search}}},
	{"/{type}/{id}/{member}/{search}", []fhirMethod{{"POST", searchCompartment, auth.Search, (*FHIR).searchForm}}},
	{"/{type}/{id}/_history", []fhirMethod{{"GET", "history-instance", auth.Read, (*FHIR).history}}},
	{"/{type}/{id}/_history/{version}", []fhirMethod{{"GET", "vread", auth.Read, (*FHIR).vread}}},
	{"/{type}/$validate", []fhirMethod{{"POST", "$validate", auth.Read, (*FHIR).validate}}},
	{"/{type}/{id}/$validate", []fhirMethod{
		{"GET", "$validate", auth.Read, (*FHIR).validate},
		{"POST", "$validate", auth.Read, (*FHIR).validate},
	}},
	{"/$meta", metaOfAllMethods},
	{"/{type}/$meta", metaOfAllMethods},
	{"/{type}/{id}/$meta", metaMethods},
	{"/Appointment/$book", []fhirMethod{{"POST", "$book", auth.Create, (*FHIR).book}}},
	{"/Slot/{id}/$book", []fhirMethod{{"POST", "$book", auth.Create, (*FHIR).book}}},
	{"/{type}/{id}/$meta-add", []fhirMethod{{"POST", "$meta-add", auth.Update, (*FHIR).metaAdd}}},
	{"/{type}/{id}/$meta-delete", []fhirMethod{{"POST", "$meta-delete", auth.Update, (*FHIR).metaDelete}}},
	{"/{type}/{id}/_history/{version}/$meta", metaMethods},
	{"/{type}/{id}/_history/{version}/$meta-add", []fhirMethod{{"POST", "$meta-add", auth.Update, (*FHIR).metaAdd}}},
	{"/{type}/{id}/_history/{version}/$meta-delete", []fhirMethod{{"POST", "$meta-delete", auth.Update, (*FHIR).metaDelete}}},
	{"/{type}/{id}/$everything", []fhirMethod{
		{"GET", "$everything", auth.Read, (*FHIR).everything},
		{"POST", "$everything", auth.Read, (*FHIR).everything},
	}},
	{"/{type}/$lookup", aboutCodes("$lookup", (*FHIR).lookup)},
	{"/{type}/{id}/$lookup", aboutCodes("$lookup", (*FHIR).lookup)},
	{"/{type}/$validate-code", aboutCodes("$validate-code", (*FHIR).validateCode)},
	{"/{type}/{id}/$validate-code", aboutCodes("$validate-code", (*FHIR).validateCode)},
	{"/{type}/$subsumes", aboutCodes("$subsumes", (*FHIR).subsumes)},
	{"/{type}/{id}/$subsumes", aboutCodes("$subsumes", (*FHIR).subsumes)},
	{"/{type}/$translate", aboutCodes("$translate", (*FHIR).translate)},
	{"/{type}/{id}/$translate", aboutCodes("$translate", (*FHIR).translate)},
	{"/{type}/$expand", aboutCodes("$expand", (*FHIR).expand)},
	{"/{type}/{id}/$expand", aboutCodes("$expand", (*FHIR).expand)},
	{"/{type}/$status", []fhirMethod{
		{"GET", "$status", auth.Read, (*FHIR).subscriptionStatus},
		{"POST", "$status", auth.Read, (*FHIR).subscriptionStatus},
	}},
	{"/{type}/{id}/$status", []fhirMethod{
		{"GET", "$status", auth.Read, (*FHIR).subscriptionStatus},
		{"POST", "$status", auth.Read, (*FHIR).subscriptionStatus},
	}},
	{"/{type}/{id}/$events", []fhirMethod{
		{"GET", "$events", auth.Read, (*FHIR).subscriptionEvents},
		{"POST", "$events", auth.Read, (*FHIR).subscriptionEvents},
	}},
	{"/{type}/$get-ws-binding-token", []fhirMethod{
		{"GET", "$get-ws-binding-token", auth.Read, (*FHIR).bindingToken},
		{"POST", "$get-ws-binding-token", auth.Read, (*FHIR).bindingToken},
	}},
	{"/{type}/{id}/$get-ws-binding-token", []fhirMethod{
		{"GET", "$get-ws-binding-token", auth.Read, (*FHIR).bindingToken},
		{"POST", "$get-ws-binding-token", auth.Read, (*FHIR).bindingToken},
	}},
	{"/", nil},
}

// aboutCodes are the methods of a question about codes.
func aboutCodes(operation string, serve func(*FHIR, http.ResponseWriter, *http.Request) error) []fhirMethod {
	return []fhirMethod{{"GET", operation, auth.Ask, serve}, {"POST", operation, auth.Ask, serve}}
}

var metaMethods = []fhirMethod{
	{"GET", "$meta", auth.Read, (*FHIR).meta},
	{"POST", "$meta", auth.Read, (*FHIR).meta},
}

var metaOfAllMethods = []fhirMethod{
	{"GET", "$meta", auth.Read, (*FHIR).metaOfAll},
	{"POST", "$meta", auth.Read, (*FHIR).metaOfAll},
}

// Interactions which the CapabilityStatement has no words for.
const (
	searchCompartment = "search-compartment"
	conditionalUpdate = "conditional update"
	conditionalPatch  = "conditional patch"
	conditionalDelete = "conditional delete"
)

// systemMethods search everything, and take Bundles. The guide has source
// systems PUT them too.
var systemMethods = []fhirMethod{
	{"GET", "search-system", auth.Search, (*FHIR).search},
	{"POST", "transaction", "", (*FHIR).transaction},
	{"PUT", "transaction", "", (*FHIR).transaction},
}

func (f *FHIR) route(rt fhirRoute) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := newAnswer(w, r)
		if e := f.answer(a, r, rt, err); e != nil {
			fail(a, r, e)
		}
		a.finish(r)
	})
}

// answer does what the request asks for. format is why there is no format for
// the answer; other errors go before it.
func (f *FHIR) answer(w http.ResponseWriter, r *http.Request, rt fhirRoute, format error) error {
	member, last := r.PathValue("member"), r.PathValue("search")
	if len(rt.methods) == 0 || last != "" && last != "_search" || member != "" && member != search.Any && !search.TypeNamed(member) {
		return fhir.Errorf(fhir.CodeNotFound, "", "Nothing of the FHIR interface stands at this address.")
	}
	f.shareWith(w, r)
	if r.Method == http.MethodOptions {
		rt.options(w, r)
		return nil
	}
	m, err := rt.method(w, r)
	if err != nil {
		return err
	}
	if r.PathValue("type") == topicType && f.subs != nil && derived[m.interaction] {
		return f.topic(w, r, format)
	}
	if typ := r.PathValue("type"); typ != "" && !search.TypeNamed(typ) {
		return fhir.Errorf(fhir.CodeNotSupported, "", "The address names no resource type of FHIR R4.").WithStatus(http.StatusNotFound)
	}
	if typ := r.PathValue("type"); !hasOperation(m.interaction, typ) {
		return fhir.Errorf(fhir.CodeNotSupported, "", "%s has no operation %s.", typ, m.interaction).WithStatus(http.StatusNotFound)
	}
	if id := r.PathValue("id"); strings.HasPrefix(id, "$") {
		return fhir.Errorf(fhir.CodeNotSupported, "", "This operation is not one of the type; it may be one of its records.").WithStatus(http.StatusNotFound)
	} else if id != "" && !fhir.ValidID(id) {
		return fhir.Errorf(fhir.CodeInvalid, "", "The id in the address must be 1 to 64 letters, digits, '-' or '.'.")
	}
	if m.interaction != "capabilities" && auth.FromContext(r.Context()).Kind == "" {
		return fhir.Errorf(fhir.CodeLogin, "", "This needs an access token.")
	}
	if typ := r.PathValue("type"); typ != "" && m.action == auth.Read && !search.Stored(typ) && !derived[m.interaction] {
		return fhir.Errorf(fhir.CodeNotSupported, "", "There are no versions of what the exchange itself records.").WithStatus(http.StatusNotFound)
	}
	if format != nil {
		return format
	}
	if m.interaction != "capabilities" {
		w.Header().Set("Cache-Control", "no-store") // records of patients
	}
	return m.serve(f, w, r)
}

// method picks what to do; HEAD is GET whose body net/http leaves out.
func (rt fhirRoute) method(w http.ResponseWriter, r *http.Request) (fhirMethod, error) {
	name := r.Method
	if name == http.MethodHead {
		name = http.MethodGet
	}
	if i := slices.IndexFunc(rt.methods, func(m fhirMethod) bool { return m.name == name }); i >= 0 {
		return rt.methods[i], nil
	}
	allow := rt.allow()
	w.Header().Set("Allow", allow)
	return fhirMethod{}, fhir.Errorf(fhir.CodeNotSupported, "", "%s is not possible here; possible are %s.",
		printableMethod(r.Method), allow).WithStatus(http.StatusMethodNotAllowed)
}

// allow lists the methods of an address.
func (rt fhirRoute) allow() string {
	var allow []string
	for _, m := range rt.methods {
		if allow = append(allow, m.name); m.name == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	return strings.Join(append(allow, http.MethodOptions), ", ")
}

func printableMethod(m string) string {
	if len(m) > 16 {
		return "This method"
	}
	return m
}

// baseURL gives the base without a slash at its end.
func (f *FHIR) baseURL() string { return strings.TrimSuffix(f.base(), "/") }
