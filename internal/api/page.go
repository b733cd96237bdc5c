package api

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"

	"github.com/jumpa-hie/jumpa/fhir"
)

// pageParam names the parameter of a sealed page link. It is encrypted, so
// that search values such as an identity number, sent in the body of a POST,
// do not end up in addresses and logs, and it is bound to the place that it
// was made for. Who may see what is decided anew on every page.
const pageParam = "_page"

func pageCipher(key []byte) (cipher.AEAD, error) {
	if len(key) == 0 {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // never fails
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("the key of page links has %d bytes instead of 32", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// pageLink gives the address of the page of values that begins at offset.
// place is the path below the base.
func (f *FHIR) pageLink(place string, values url.Values, offset int) string {
	at := make(url.Values, len(values)+1)
	for k, v := range values {
		at[k] = v
	}
	at.Set("_offset", strconv.Itoa(offset))
	sealed := f.pages.Seal(nil, nil, []byte(at.Encode()), []byte(place))
	return f.baseURL() + "/" + place + "?" + pageParam + "=" + base64.RawURLEncoding.EncodeToString(sealed)
}

// openPage gives the values behind a page link, or values itself when it is none.
func (f *FHIR) openPage(place string, values url.Values) (url.Values, error) {
	text := values.Get(pageParam)
	if text == "" {
		return values, nil
	}
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		sealed, err = f.pages.Open(nil, nil, sealed, []byte(place))
	}
	if err != nil {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "This page link is not valid or no longer valid; search again.")
	}
	return url.ParseQuery(string(sealed))
}

// pageLinks gives self, previous and next.
func (f *FHIR) pageLinks(place, self string, values url.Values, offset, count int, more bool) []link {
	links := []link{{"self", self}}
	if offset > 0 && count > 0 {
		links = append(links, link{"previous", f.pageLink(place, values, max(0, offset-count))})
	}
	if more && count > 0 {
		links = append(links, link{"next", f.pageLink(place, values, offset+count)})
	}
	return links
}
