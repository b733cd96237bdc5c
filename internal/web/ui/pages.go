package ui

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"text/template/parse"
	"time"
)

// Pages are the parsed templates of one site in every language.
type Pages struct {
	sets map[Lang]map[string]*template.Template
}

// ParsePages parses the pages of fsys: every *.html file is a page named like
// the file, and those that start with an underscore (_layout.html) are parts
// of every page. A page is rendered by executing the template "layout".
//
// Beside funcs, templates have {{t "key" "place" value …}} for a text whose
// key is written out, {{say .Key}} for one whose Key the program chose, and
// day, clock, hours and moment for times. A key that is not in the catalogue,
// or whose places are not given, is an error here, before anything is served.
func (c *Catalogue) ParsePages(fsys fs.FS, funcs template.FuncMap) (*Pages, error) {
	files, err := fs.Glob(fsys, "*.html")
	if err != nil {
		return nil, err
	}
	var parts, pages []string
	for _, f := range files {
		if strings.HasPrefix(path.Base(f), "_") {
			parts = append(parts, f)
		} else {
			pages = append(pages, f)
		}
	}
	if len(parts) == 0 || len(pages) == 0 {
		return nil, errors.New("ui: no pages here")
	}
	p := &Pages{sets: map[Lang]map[string]*template.Template{}}
	for _, l := range Languages {
		p.sets[l] = map[string]*template.Template{}
		all := maps.Clone(funcs)
		if all == nil {
			all = template.FuncMap{}
		}
		maps.Copy(all, c.funcs(l))
		for _, f := range pages {
			t, err := template.New(f).Option("missingkey=error").Funcs(all).ParseFS(fsys, append(slices.Clone(parts), f)...)
			if err != nil {
				return nil, err
			}
			for _, sub := range t.Templates() {
				if sub.Tree == nil {
					continue
				}
				if err := c.check(sub.Tree.Root); err != nil {
					return nil, fmt.Errorf("ui: %s: %w", sub.Name(), err)
				}
			}
			p.sets[l][strings.TrimSuffix(f, ".html")] = t
		}
	}
	return p, nil
}

func (c *Catalogue) funcs(l Lang) template.FuncMap {
	return template.FuncMap{
		"t":      func(key string, pairs ...any) (string, error) { return c.Say(l, Key(key), pairs...) },
		"say":    func(key Key, pairs ...any) (string, error) { return c.Say(l, key, pairs...) },
		"day":    func(t, now time.Time) string { return c.Day(l, t, now) },
		"clock":  func(t time.Time) string { return c.Clock(l, t) },
		"hours":  func(from, to time.Time) string { return c.Hours(l, from, to) },
		"moment": func(t, now time.Time) string { return c.Moment(l, t, now) },
	}
}

// check walks a template and compares every {{t …}} with the catalogue.
func (c *Catalogue) check(n parse.Node) error {
	var err error
	inspect(n, func(cmd *parse.CommandNode) {
		id, ok := cmd.Args[0].(*parse.IdentifierNode)
		if !ok || id.Ident != "t" || err != nil {
			return
		}
		err = c.checkCall(cmd.Args[1:])
	})
	return err
}

func (c *Catalogue) checkCall(args []parse.Node) error {
	if len(args) == 0 {
		return errors.New("t without a key")
	}
	key, ok := args[0].(*parse.StringNode)
	if !ok {
		return fmt.Errorf("t needs its key written out, not %s", args[0])
	}
	e, ok := c.entries[Key(key.Text)]
	if !ok {
		return fmt.Errorf("no text %q in the catalogue", key.Text)
	}
	var given []string
	for i := 1; i < len(args); i += 2 {
		name, ok := args[i].(*parse.StringNode)
		if !ok {
			return fmt.Errorf("text %q: a place must be written out", key.Text)
		}
		given = append(given, name.Text)
	}
	slices.Sort(given)
	if !slices.Equal(given, e.places) || len(args) != 1+2*len(given) {
		return fmt.Errorf("text %q has places %v, given %v", key.Text, e.places, given)
	}
	return nil
}

// inspect calls fn for every command below n.
func inspect(n parse.Node, fn func(*parse.CommandNode)) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, c := range n.Nodes {
			inspect(c, fn)
		}
	case *parse.ActionNode:
		inspect(n.Pipe, fn)
	case *parse.PipeNode:
		if n == nil {
			return
		}
		for _, c := range n.Cmds {
			inspect(c, fn)
		}
	case *parse.CommandNode:
		fn(n)
		for _, a := range n.Args {
			inspect(a, fn)
		}
	case *parse.TemplateNode:
		inspect(n.Pipe, fn)
	case *parse.IfNode:
		inspectBranch(&n.BranchNode, fn)
	case *parse.RangeNode:
		inspectBranch(&n.BranchNode, fn)
	case *parse.WithNode:
		inspectBranch(&n.BranchNode, fn)
	}
}

func inspectBranch(b *parse.BranchNode, fn func(*parse.CommandNode)) {
	inspect(b.Pipe, fn)
	inspect(b.List, fn)
	inspect(b.ElseList, fn)
}

// Render gives the named template of a page ("layout" is the whole page).
func (p *Pages) Render(l Lang, page, name string, data any) ([]byte, error) {
	t, ok := p.sets[l][page]
	if !ok {
		return nil, fmt.Errorf("ui: no page %q in %q", page, l)
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, name, data); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
