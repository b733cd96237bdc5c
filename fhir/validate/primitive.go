package validate

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// primitive judges a primitive element: its JSON, its form and what stands
// beside it under _name. It tells whether there is a good value.
func (r *run) primitive(el *r4.Element, typ string, n, extra fhir.Node) bool {
	if extra.Exists() {
		if extra.Kind() != fhir.Object {
			r.fail(of("type", el.Path), fhir.CodeStructure, "What stands under _%s must be an object with an id or extensions.", el.Name)
		} else {
			e, _ := r4.LookupType("Element")
			r.object(extra, e.Root, false, n.Exists())
		}
	}
	if !n.Exists() {
		return false
	}
	if want := jsonKind(typ); n.Kind() != want {
		key, hint := "type", ""
		switch {
		case n.Kind() == fhir.String && want == fhir.Number:
			key, hint = quoted(n.String(), numberForm), " Write the number without quotes."
		case n.Kind() == fhir.String && want == fhir.Bool:
			key, hint = quoted(n.String(), boolForm), " Write true or false without quotes."
		case n.Kind() == fhir.Number && want == fhir.String:
			hint = " Write it in quotes."
		}
		r.fail(of(key, el.Path), fhir.CodeStructure, "The value is %s; a %s is %s.%s", kinds[n.Kind()], typ, kinds[want], hint)
		return false
	}
	if el.Name == "id" && !el.Attribute {
		typ = "id" // the release calls the id of a resource a string
	}
	if typ == "xhtml" {
		if key, why := narrative(n.String()); why != "" {
			r.fail(of(key, el.Path), fhir.CodeInvariant, "The narrative %s.", why)
			return false
		}
		return true
	}
	if n.Kind() == fhir.String && n.Is("") {
		r.fail(of("empty", el.Path), fhir.CodeValue, "The value is empty. Leave the element out when there is nothing to say.")
		return false
	}
	if why := malformed(typ, n); why != "" {
		r.fail(of("format-"+typ, el.Path), fhir.CodeValue, "The value is no %s: %s.", typ, why)
		return false
	}
	switch {
	case el.Name == "id" && el.Attribute:
		r.elementID(el, n.String())
	case typ == "canonical" && !whole.MatchString(n.String()):
		r.fail(of("canonical", el.Path), fhir.CodeValue, "Write the whole URL of the definition, such as http://example.org/name, or # and the id of a contained resource.")
	case el.Binding != nil && el.Binding.ValueSet == languages && !tag.MatchString(n.String()):
		r.fail(of("language", el.Path), fhir.CodeCodeInvalid, "The language is none; write it as ms, en or zh-Hans.")
	}
	return true
}

// languages is the value set whose limit is every tag of BCP 47.
const languages = "http://hl7.org/fhir/ValueSet/languages"

var (
	whole = regexp.MustCompile(`^(#|[A-Za-z][A-Za-z0-9+.-]*:)`)
	tag   = regexp.MustCompile(`^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$`)
)

// elementID judges the id of an element, which must be the only one of its
// resource.
func (r *run) elementID(el *r4.Element, id string) {
	if strings.ContainsAny(id, " \t\r\n") {
		r.fail(of("format-id", el.Path), fhir.CodeValue, "The id of an element has no spaces.")
	}
	if r.ids[id] {
		r.fail(of("id-again", el.Path), fhir.CodeValue, "Another element of this resource has the same id. Give each its own.")
	}
	if r.ids == nil {
		r.ids = map[string]bool{}
	}
	r.ids[id] = true
}

var (
	numberForm = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)
	boolForm   = regexp.MustCompile(`^(true|false)$`)
)

// quoted gives the key of the rule that a text breaks where a number or a
// boolean belongs: quoted when the text reads as one, so that its meaning is
// clear, else type.
func quoted(s string, form *regexp.Regexp) string {
	if form.MatchString(s) {
		return "quoted"
	}
	return "type"
}

func jsonKind(typ string) fhir.Kind {
	switch typ {
	case "boolean":
		return fhir.Bool
	case "integer", "positiveInt", "unsignedInt", "decimal":
		return fhir.Number
	}
	return fhir.String
}

// maxString is how many bytes a string may have, by R4.
const maxString = 1 << 20

// malformed tells what is wrong with a value of the right JSON kind, "" when
// nothing is.
func malformed(typ string, n fhir.Node) string {
	switch typ {
	case "boolean", "decimal":
		return "" // as JSON has them
	case "integer", "positiveInt", "unsignedInt":
		return badInteger(typ, n.String())
	}
	s := n.String()
	switch typ {
	case "string", "markdown":
		return badString(s)
	case "code":
		return badCode(s)
	case "id":
		if !fhir.ValidID(s) {
			return "write 1 to 64 letters, digits, '-' or '.'"
		}
	case "uri", "url", "canonical", "oid", "uuid":
		return badURI(typ, s)
	case "date", "dateTime", "instant":
		return badDate(typ, s)
	case "time":
		if !clock(s) {
			return "write hh:mm:ss, with 24 hours"
		}
	case "base64Binary":
		return badBase64(s)
	}
	return ""
}

func badInteger(typ, s string) string {
	if strings.ContainsAny(s, ".eE") {
		return "write a whole number, without a point or an exponent"
	}
	low := map[string]int64{"integer": -1 << 31, "positiveInt": 1, "unsignedInt": 0}[typ]
	if v, err := strconv.ParseInt(s, 10, 64); err != nil || v < low || v > 1<<31-1 || s == "-0" && typ != "integer" {
		return "it must be from " + strconv.FormatInt(low, 10) + " to 2147483647"
	}
	return ""
}

func badString(s string) string {
	if len(s) > maxString {
		return "it is longer than 1 MB"
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
			return "it holds a control character"
		}
	}
	return ""
}

func badCode(s string) string {
	space := true // a space may not stand here
	for i := range len(s) {
		if !white(s[i]) {
			space = false
			continue
		}
		if space {
			return "it begins with a space, or two stand together"
		}
		space = true
	}
	if space {
		return "it ends with a space"
	}
	return ""
}

func white(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

var (
	oidForm  = regexp.MustCompile(`^urn:oid:[0-2](\.(0|[1-9][0-9]*))+$`)
	uuidForm = regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

func badURI(typ, s string) string {
	for i := range len(s) {
		if white(s[i]) || s[i] < 0x20 {
			return "it holds a space"
		}
	}
	switch {
	case (typ == "oid" || strings.HasPrefix(s, "urn:oid:")) && !oidForm.MatchString(s):
		return "write urn:oid: and numbers with points between them"
	case (typ == "uuid" || strings.HasPrefix(s, "urn:uuid:")) && !uuidForm.MatchString(s):
		return "write urn:uuid: and a UUID in lower case"
	}
	return ""
}

const dateForms = "write YYYY, YYYY-MM or YYYY-MM-DD"

// badDate judges a date, dateTime or instant: its form, and whether there is
// such a day.
func badDate(typ, s string) string {
	form := dateForms
	switch typ {
	case "dateTime":
		form += ", or YYYY-MM-DDThh:mm:ss with a time zone such as +08:00"
	case "instant":
		form = "write YYYY-MM-DDThh:mm:ss with a time zone such as +08:00"
	}
	day, at, timed := strings.Cut(s, "T")
	switch {
	case timed && typ == "date", !timed && typ == "instant":
		return form
	case !dateShape(day) || timed && len(day) != 10:
		return form
	case len(day) >= 7 && !between(day[5:7], 1, 12), len(day) == 10 && !dayExists(day):
		return "there is no such day"
	case !timed:
		return ""
	}
	zone := strings.IndexAny(at, "Z+-")
	if zone < 0 {
		return "the time zone is missing; write Z or one such as +08:00"
	}
	if !clock(at[:zone]) || !zoneShape(at[zone:]) {
		return form
	}
	return ""
}

func dateShape(s string) bool {
	if len(s) != 4 && len(s) != 7 && len(s) != 10 || s[:4] == "0000" {
		return false
	}
	for i := range len(s) {
		if i == 4 || i == 7 {
			if s[i] != '-' {
				return false
			}
		} else if !digit(s[i]) {
			return false
		}
	}
	return true
}

func dayExists(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// between reads two digits.
func between(s string, low, high int) bool {
	if len(s) != 2 || !digit(s[0]) || !digit(s[1]) {
		return false
	}
	v := int(s[0]-'0')*10 + int(s[1]-'0')
	return v >= low && v <= high
}

// clock judges hh:mm:ss and a fraction. A minute may have a leap second.
func clock(s string) bool {
	if len(s) < 8 || s[2] != ':' || s[5] != ':' || !between(s[:2], 0, 23) || !between(s[3:5], 0, 59) || !between(s[6:8], 0, 60) {
		return false
	}
	if len(s) == 8 {
		return true
	}
	for i := 9; i < len(s); i++ {
		if !digit(s[i]) {
			return false
		}
	}
	return s[8] == '.' && len(s) > 9
}

func zoneShape(s string) bool {
	if s == "Z" {
		return true
	}
	return len(s) == 6 && s[0] != 'Z' && s[3] == ':' && (between(s[1:3], 0, 13) && between(s[4:6], 0, 59) || s[1:] == "14:00")
}

func badBase64(s string) string {
	count, pad := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case white(c):
			if count%4 != 0 {
				return "a space stands within four characters that belong together"
			}
			continue
		case c == '=':
			pad++
		case pad > 0:
			return "it goes on after its end"
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', digit(c), c == '+', c == '/':
		default:
			return "it holds a character that base64 does not have"
		}
		count++
	}
	if count == 0 || count%4 != 0 || pad > 2 {
		return "its length is not that of base64; fill it up with ="
	}
	return ""
}
