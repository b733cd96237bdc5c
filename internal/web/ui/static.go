package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
)

//go:embed static
var shared embed.FS

// Shared holds the files that every site may serve: ui.css, live.js and
// jitsi.js.
func Shared() fs.FS {
	sub, err := fs.Sub(shared, "static")
	if err != nil {
		panic("ui: " + err.Error()) // the directory is embedded above
	}
	return sub
}

type asset struct {
	mime         string
	plain, small []byte // small is gzip
	etag         string
}

// Static serves embedded files under addresses that change with their
// content, so that browsers may keep them for ever.
type Static struct {
	prefix string
	assets map[string]asset // by name
	paths  map[string]string
}

// NewStatic takes all files of the given file systems; prefix is where the
// handler is mounted, such as "/rekodsaya/static/". A script may import those of
// the file systems before its own: from "./live.js".
func NewStatic(prefix string, from ...fs.FS) (*Static, error) {
	s := &Static{prefix: prefix, assets: map[string]asset{}, paths: map[string]string{}}
	for _, fsys := range from {
		err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			body, err := fs.ReadFile(fsys, name)
			if err != nil {
				return err
			}
			return s.add(name, body)
		})
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

var imports = regexp.MustCompile(`from "\./([a-z]+\.js)"`)

// linked gives a script whose imports name the content they want.
func (s *Static) linked(name string, body []byte) ([]byte, error) {
	for _, m := range imports.FindAllSubmatch(body, -1) {
		path, ok := s.paths[string(m[1])]
		if !ok {
			return nil, fmt.Errorf("ui: %s imports %s, which is not there", name, m[1])
		}
		body = bytes.ReplaceAll(body, m[0], []byte(`from "`+path+`"`))
	}
	return body, nil
}

func (s *Static) add(name string, body []byte) error {
	body, err := s.linked(name, body)
	if err != nil {
		return err
	}
	var small bytes.Buffer
	z, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(body); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	typ := mime.TypeByExtension(path.Ext(name))
	if path.Ext(name) == ".js" {
		typ = "text/javascript; charset=utf-8" // some machines call it something else
	}
	if typ == "" {
		return fmt.Errorf("ui: %s has no media type", name)
	}
	sum := sha256.Sum256(body)
	tag := hex.EncodeToString(sum[:6])
	s.assets[name] = asset{mime: typ, plain: body, small: small.Bytes(), etag: `"` + tag + `"`}
	s.paths[name] = s.prefix + name + "?v=" + tag
	return nil
}

// Path gives the address of a file; an unknown name is an error, so that
// templates cannot point to nothing.
func (s *Static) Path(name string) (string, error) {
	p, ok := s.paths[name]
	if !ok {
		return "", fmt.Errorf("ui: no file %q", name)
	}
	return p, nil
}

// ServeHTTP answers GET below the prefix.
func (s *Static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets[strings.TrimPrefix(r.URL.Path, s.prefix)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.mime)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", a.etag)
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Header.Get("If-None-Match") == a.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := a.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = a.small
	}
	if _, err := w.Write(body); err != nil {
		return // the browser went away
	}
}
