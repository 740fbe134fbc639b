package confighistory

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// A piece is sealed and written as base64 in JSON: a third more, and still below what a record may have.
	chunkSize = 160 << 10
	maxChunks = 24       // so that one comes and one goes in one commit
	maxPlain  = 64 << 20 // bytes; four times what a configuration may have
)

// chunkKey is where a piece of a configuration is kept.
func chunkKey(hash string, i int) string { return fmt.Sprintf("text/%s/%02d", hash, i) }

func pack(texts []Text) ([]byte, error) {
	plain, err := json.Marshal(texts)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func unpack(packed []byte) (texts []Text, err error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxPlain+1))
	if err != nil {
		return nil, err
	}
	if len(plain) > maxPlain {
		return nil, errors.New("it unfolds into more than was ever kept")
	}
	return texts, json.Unmarshal(plain, &texts)
}

// maxNamed is how many files one line names.
const maxNamed = 5

// changes says in one line which files are others than before, and by how many lines.
func changes(before, after []Text) string {
	was := map[string]string{}
	for _, t := range before {
		was[t.Name] = t.Text
	}
	var out []string
	for _, t := range after {
		old, known := was[t.Name]
		delete(was, t.Name)
		switch added, gone := lines(old, t.Text); {
		case !known:
			out = append(out, fmt.Sprintf("%s new", called(t.Name)))
		case old != t.Text:
			out = append(out, fmt.Sprintf("%s +%d -%d", called(t.Name), added, gone))
		}
	}
	for _, t := range before {
		if _, gone := was[t.Name]; gone {
			out = append(out, fmt.Sprintf("%s gone", called(t.Name)))
		}
	}
	if more := len(out) - maxNamed; more > 0 {
		out = append(out[:maxNamed], fmt.Sprintf("and %d files more", more))
	}
	return strings.Join(out, ", ")
}

func called(name string) string {
	if name == "" {
		return "main file"
	}
	return name
}

// lines counts the lines that only one of two texts has, each as often as it has it more often.
func lines(before, after string) (added, gone int) {
	count := map[string]int{}
	for line := range strings.Lines(after) {
		count[strings.TrimRight(line, "\n")]++
	}
	for line := range strings.Lines(before) {
		count[strings.TrimRight(line, "\n")]--
	}
	for _, n := range count {
		added, gone = added+max(n, 0), gone+max(-n, 0)
	}
	return added, gone
}
