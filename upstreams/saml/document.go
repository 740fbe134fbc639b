package saml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/beevik/etree"
	xrv "github.com/mattermost/xml-roundtrip-validator"
)

const (
	maxDocument = 256 << 10 // bytes; the largest real responses, with hundreds of groups, have a quarter of that
	maxDepth    = 32

	// Prefixes are looked up by walking over attributes and ancestors: how many there are bounds the work, too. The library that canonicalises takes no more than
	// 1,000 elements; an attribute has one for each value, so that people in more than some 850 groups are told so here.
	maxElements   = 900
	maxAttributes = 64 // of one element
)

// declaration is the only processing instruction that a document may begin with: UTF-8 is what everything else is judged in.
var declaration = regexp.MustCompile(`^<\?xml version=["']1\.0["']( encoding=["'][Uu][Tt][Ff]-8["'])?( standalone=["'](yes|no)["'])? ?\?>`)

// ncName is what an ID may look like (XML Namespaces §3): of xs:ID what real software uses.
var ncName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,255}$`)

// places names the elements that stand in exactly one place: their parents by local name, "" for the document itself. Whatever else
// is called so, in whatever namespace, is an attempt to have one element verified and another one read.
var places = map[string][]string{
	tagResponse:              {""},
	tagAssertion:             {"", tagResponse},
	tagSignature:             {tagResponse, tagAssertion},
	"EncryptedAssertion":     nil,
	"EncryptedAttribute":     nil,
	"EncryptedData":          nil,
	"EncryptedID":            nil,
	"EncryptedKey":           nil,
	"LogoutRequest":          nil,
	"Manifest":               nil,
	"NewEncryptedID":         nil,
	"NewID":                  nil,
	"Object":                 nil,
	"SignatureProperties":    nil,
	"SignatureProperty":      nil,
	"AuthzDecisionStatement": nil,
}

// parse reads a document that every XML parser reads alike: without document type, entities, comments, CDATA sections and processing
// instructions, in UTF-8, each attribute and each ID once, each prefix declared. What it returns is parsed, not proven.
func parse(data []byte) (*etree.Element, error) {
	switch {
	case len(data) > maxDocument:
		return nil, fmt.Errorf("longer than %d bytes", maxDocument)
	case !utf8.Valid(data):
		return nil, errors.New("not UTF-8")
	}
	data = data[len(declaration.Find(data)):]
	// In well-formed XML a < is markup wherever it stands, so that this needs no parser to be right.
	if bytes.Contains(data, []byte("<!")) || bytes.Contains(data, []byte("<?")) {
		return nil, errors.New("a document type, comment, CDATA section or processing instruction")
	}
	if bytes.Count(data, []byte("<")) > 2*maxElements { // a tag at each end; counted before anything is parsed
		return nil, fmt.Errorf("more than %d elements", maxElements)
	}
	if err := xrv.Validate(bytes.NewReader(data)); err != nil {
		return nil, errors.New("not XML that stays what it is") // its error quotes the document
	}
	doc := etree.NewDocument()
	doc.ReadSettings = etree.ReadSettings{PreserveDuplicateAttrs: true, MaxDepth: maxDepth, CharsetReader: noCharset}
	if err := doc.ReadFromBytes(data); err != nil {
		return nil, errors.New("not well-formed XML, or nested too deep")
	}
	var root *etree.Element
	for _, token := range doc.Child {
		switch t := token.(type) {
		case *etree.Element:
			if root != nil {
				return nil, errors.New("two roots")
			}
			root = t
		case *etree.CharData:
			if strings.TrimSpace(t.Data) != "" {
				return nil, errors.New("text outside the root")
			}
		}
	}
	if root == nil {
		return nil, errors.New("no root")
	}
	w := walk{ids: map[string]bool{}}
	return root, w.element(root, "")
}

func noCharset(string, io.Reader) (io.Reader, error) { return nil, errors.New("not UTF-8") }

// walk is the way through one document.
type walk struct {
	ids      map[string]bool
	elements int
}

// element judges one and all below it.
func (w *walk) element(e *etree.Element, parent string) error {
	if w.elements++; w.elements > maxElements || len(e.Attr) > maxAttributes {
		return fmt.Errorf("more than %d elements, or %d attributes of one", maxElements, maxAttributes)
	}
	if allowed, guarded := places[e.Tag]; guarded && !slices.Contains(allowed, parent) {
		return fmt.Errorf("an element %s where none may be", e.Tag)
	}
	if strings.Contains(e.Tag, ":") || e.Space != "" && e.NamespaceURI() == "" || e.Space == "xml" || e.Space == "xmlns" {
		return errors.New("an element with an undeclared prefix")
	}
	if err := w.attributes(e); err != nil {
		return err
	}
	for _, child := range e.ChildElements() {
		if err := w.element(child, e.Tag); err != nil {
			return err
		}
	}
	return nil
}

// attributes judges those of one element. A library looks an ID up by its local name, so that no prefixed one may be there.
func (w *walk) attributes(e *etree.Element) error {
	seen := map[[2]string]bool{}
	for _, a := range e.Attr {
		space := a.Space
		switch {
		case a.Space == "xmlns" && (a.Key == "xml" || a.Key == "xmlns" || a.Value == ""), strings.Contains(a.Key, ":"):
			return errors.New("a namespace declaration that is none")
		case a.Space == "xml":
			space = "xml"
		case a.Space != "" && a.Space != "xmlns":
			if space = a.NamespaceURI(); space == "" {
				return errors.New("an attribute with an undeclared prefix")
			}
		}
		name := [2]string{space, a.Key}
		if seen[name] {
			return errors.New("an attribute is repeated")
		}
		seen[name] = true
		if !strings.EqualFold(a.Key, attrID) || a.Space == "xmlns" {
			continue
		}
		if a.Space != "" || !ncName.MatchString(a.Value) || w.ids[a.Value] {
			return errors.New("an ID that is none, or is there twice")
		}
		w.ids[a.Value] = true
	}
	return nil
}

// is says whether an element has that namespace and name.
func is(e *etree.Element, namespace, tag string) bool {
	return e.Tag == tag && e.NamespaceURI() == namespace
}

// children are those of that namespace and name.
func children(e *etree.Element, namespace, tag string) []*etree.Element {
	var found []*etree.Element
	for _, child := range e.ChildElements() {
		if is(child, namespace, tag) {
			found = append(found, child)
		}
	}
	return found
}

// only is the one child of that namespace and name.
func only(e *etree.Element, namespace, tag string) (*etree.Element, error) {
	found := children(e, namespace, tag)
	if len(found) != 1 {
		return nil, fmt.Errorf("want one %s in %s, got %d", tag, e.Tag, len(found))
	}
	return found[0], nil
}

// optional is the child of that namespace and name, nil if there is none.
func optional(e *etree.Element, namespace, tag string) (*etree.Element, error) {
	if len(children(e, namespace, tag)) == 0 {
		return nil, nil //nolint:nilnil // none is no error
	}
	return only(e, namespace, tag)
}

// allow refuses children other than those of a namespace and these names.
func allow(e *etree.Element, namespace string, tags ...string) error {
	for _, child := range e.ChildElements() {
		if child.NamespaceURI() != namespace || !slices.Contains(tags, child.Tag) {
			return fmt.Errorf("an element in %s that is not served", e.Tag)
		}
	}
	return nil
}

// text is the whole text of an element that has no elements in it.
func text(e *etree.Element) (string, error) {
	var b strings.Builder
	for _, token := range e.Child {
		t, ok := token.(*etree.CharData)
		if !ok {
			return "", fmt.Errorf("%s holds more than text", e.Tag)
		}
		b.WriteString(t.Data)
	}
	return b.String(), nil
}

// attr is an attribute without prefix; empty when absent.
func attr(e *etree.Element, key string) string {
	for _, a := range e.Attr {
		if a.Space == "" && a.Key == key {
			return a.Value
		}
	}
	return ""
}
