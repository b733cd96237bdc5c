package app

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

// topics gives the topics of the configuration.
func (c Config) topics() (*subscription.Set, error) {
	if c.Topics == "" {
		return subscription.New(subscription.Default())
	}
	f := confFile{"JUMPA_TOPICS", c.Topics}
	root, err := f.yaml()
	if err != nil {
		return nil, err
	}
	if root == nil || root.Kind != yaml.SequenceNode {
		return nil, f.mistake(0, " is not a list of topics; `jumpa config --topics` prints one")
	}
	var list []subscription.Topic
	for _, n := range root.Content {
		t, err := f.topic(n)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	set, err := subscription.New(list)
	var refused *fhir.Error
	if errors.As(err, &refused) {
		return nil, usage("%s: %s: %s", f.setting, f.name, strings.TrimSuffix(refused.Diagnostics, "."))
	}
	return set, err
}

// topicFields names the fields of a topic, and where each goes.
var topicFields = []struct {
	name string
	to   func(*subscription.Topic) any
}{
	{"name", func(t *subscription.Topic) any { return &t.Name }},
	{"title", func(t *subscription.Topic) any { return &t.Title }},
	{"category", func(t *subscription.Topic) any { return (*string)(&t.Category) }},
	{"resource", func(t *subscription.Topic) any { return &t.Resource }},
	{"recipients", func(t *subscription.Topic) any { return &t.Recipients }},
	{"include", func(t *subscription.Topic) any { return &t.Include }},
	{"criteria", func(t *subscription.Topic) any { return &t.Criteria }},
	{"changes", func(t *subscription.Topic) any { return &t.Changes }},
	{"byOthers", func(t *subscription.Topic) any { return &t.ByOthers }},
	{"payload", func(t *subscription.Topic) any { return (*string)(&t.Payload) }},
	{"eventType", func(t *subscription.Topic) any { return &t.EventType }},
}

func (f confFile) topic(n *yaml.Node) (t subscription.Topic, err error) {
	if n.Kind != yaml.MappingNode {
		return t, f.mistake(n.Line, " is not a topic with its fields")
	}
	at := topicReader{confFile: f, name: nameIn(n)}
	err = f.members(n, func(name, value *yaml.Node) error {
		for _, field := range topicFields {
			if field.name == name.Value {
				return at.value(value, field.name, field.to(&t))
			}
		}
		return at.wrong(name, "has no field %s", shown(name.Value))
	})
	return t, err
}

// nameIn gives the name of a topic, for messages.
func nameIn(n *yaml.Node) string {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "name" && len(n.Content[i+1].Value) <= 200 {
			return n.Content[i+1].Value
		}
	}
	return ""
}

// topicReader reads the fields of one topic.
type topicReader struct {
	confFile
	name string
}

func (r topicReader) wrong(n *yaml.Node, format string, args ...any) error {
	return r.mistake(n.Line, " in topic %q: it "+format, append([]any{r.name}, args...)...)
}

// value reads a field.
func (r topicReader) value(n *yaml.Node, field string, to any) error {
	switch to := to.(type) {
	case *string:
		if n.Kind != yaml.ScalarNode {
			return r.wrong(n, "needs a text as %s", field)
		}
		*to = n.Value
	case *bool:
		if n.Decode(to) != nil {
			return r.wrong(n, "needs true or false as %s", field)
		}
	case *[]string:
		return r.list(n, field, func(item *yaml.Node) error {
			if item.Kind != yaml.ScalarNode {
				return r.wrong(item, "needs a list of texts as %s", field)
			}
			*to = append(*to, item.Value) // a code such as 108252007 too
			return nil
		})
	case *[]subscription.Criterion:
		return r.list(n, field, func(item *yaml.Node) error {
			c, err := r.criterion(item)
			*to = append(*to, c)
			return err
		})
	}
	return nil
}

func (r topicReader) list(n *yaml.Node, field string, item func(*yaml.Node) error) error {
	if n.Kind != yaml.SequenceNode {
		return r.wrong(n, "needs a list as %s", field)
	}
	for _, c := range n.Content {
		if err := item(c); err != nil {
			return err
		}
	}
	return nil
}

func (r topicReader) criterion(n *yaml.Node) (c subscription.Criterion, err error) {
	if n.Kind != yaml.MappingNode {
		return c, r.wrong(n, "needs element and any in each of its criteria")
	}
	err = r.members(n, func(name, value *yaml.Node) error {
		switch name.Value {
		case "element":
			return r.value(value, "element", &c.Element)
		case "any":
			return r.value(value, "any", &c.Any)
		}
		return r.wrong(name, "has no field %s in its criteria", shown(name.Value))
	})
	return c, err
}

// warning says what is odd about topics that can be used, "" when nothing is.
func warning(topics *subscription.Set) string {
	if topics.Consultations() {
		return ""
	}
	return "no topic announces each Encounter of a virtual consultation and the changes of its status: source systems cannot learn of check-ins from Kafka"
}

const topicsPreface = `# Topics, for JUMPA_TOPICS: what is announced to source systems, where, and how.
# These are those that Jumpa has without such a file. See docs/topics.md.
`

// TopicsExample gives the topics that there are without a file of them, as
// such a file.
func TopicsExample() (string, error) {
	var b strings.Builder
	b.WriteString(topicsPreface)
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(subscription.Default()); err != nil {
		return "", err
	}
	return b.String(), e.Close()
}
