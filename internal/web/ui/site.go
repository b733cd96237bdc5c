package ui

import (
	"fmt"
	"html/template"
	"io/fs"
	"maps"
)

// OpenSite loads the pages (directory pages) and the files (directory static)
// of a site that is mounted at root, such as "/desk/". Beside those of
// ParsePages, templates have {{static "name"}} for the address of a file. keys
// are the texts that the program chooses while it runs: that they are there is
// checked now, and not when somebody comes.
func (c *Catalogue) OpenSite(root string, files fs.FS, funcs template.FuncMap, keys []Key) (*Pages, *Static, error) {
	own, err := fs.Sub(files, "static")
	if err != nil {
		return nil, nil, err
	}
	static, err := NewStatic(root+"static/", Shared(), own)
	if err != nil {
		return nil, nil, err
	}
	dir, err := fs.Sub(files, "pages")
	if err != nil {
		return nil, nil, err
	}
	all := template.FuncMap{"static": static.Path}
	maps.Copy(all, funcs)
	pages, err := c.ParsePages(dir, all)
	if err != nil {
		return nil, nil, err
	}
	for _, key := range keys {
		if !c.Has(key) {
			return nil, nil, fmt.Errorf("ui: no text %q in the catalogue", key)
		}
	}
	return pages, static, nil
}
