package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// lineVersion is the v of every line that this program writes, and the only one that it reads.
const lineVersion = 1

// KindEvent is the kind of what Append and Queue write. Other kinds, such as signed heads, are links of the same chain.
const KindEvent = "event"

// Line is one link of the chain, as it lies in a segment:
//
//	{"v":1,"log":"…","seq":7,"prev":"<64 hex digits>","at":<unix milliseconds>,"kind":"event","data":{…}}
//
// The members come in this order and without spaces, so that the SHA-256 of the bytes up to the line break, which the next
// line's prev states, can be checked with sha256sum. The first line of a log has seq 1 and a prev of zeros.
type Line struct {
	Log  string
	Seq  uint64
	Prev [sha256.Size]byte
	At   time.Time // to the millisecond
	Kind string
	Data []byte // one JSON object
}

// append renders the line without its line break. Log and Kind are words of ours that need no escaping.
func (l *Line) append(dst []byte) []byte {
	dst = append(dst, `{"v":`...)
	dst = strconv.AppendInt(dst, lineVersion, 10)
	dst = append(dst, `,"log":"`...)
	dst = append(dst, l.Log...)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendUint(dst, l.Seq, 10)
	dst = append(dst, `,"prev":"`...)
	dst = hex.AppendEncode(dst, l.Prev[:])
	dst = append(dst, `","at":`...)
	dst = strconv.AppendInt(dst, max(0, l.At.UnixMilli()), 10)
	dst = append(dst, `,"kind":"`...)
	dst = append(dst, l.Kind...)
	dst = append(dst, `","data":`...)
	dst = append(dst, l.Data...)
	return append(dst, '}')
}

// parse reads what append wrote, and nothing else: one line has one form, so that no two readers can see two things in it. It
// keeps raw's bytes as Data and does not judge them as JSON.
func (l *Line) parse(raw []byte) error {
	p := parser{rest: raw}
	version := p.number(`{"v":`, `,"log":"`)
	l.Log = string(p.until(`","seq":`))
	l.Seq = p.number("", `,"prev":"`)
	prev := p.until(`","at":`)
	at := p.number("", `,"kind":"`)
	l.Kind = string(p.until(`","data":`))
	data, closed := bytes.CutSuffix(p.rest, []byte{'}'})
	if p.bad || !closed || len(prev) != hex.EncodedLen(len(l.Prev)) {
		return errors.New("not a line of a journal")
	}
	if version != lineVersion {
		return fmt.Errorf("line of version %d, this program knows %d", version, lineVersion)
	}
	if _, err := hex.Decode(l.Prev[:], prev); err != nil {
		return errors.New("prev is not hexadecimal")
	}
	l.At, l.Data = time.UnixMilli(int64(at)).UTC(), data
	if again := l.append(make([]byte, 0, len(raw))); !bytes.Equal(again, raw) {
		return errors.New("not in the one form of a line")
	}
	return nil
}

// parser cuts a line at fixed words. After a miss it stays bad.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) until(word string) []byte {
	before, after, found := bytes.Cut(p.rest, []byte(word))
	if p.bad = p.bad || !found; p.bad {
		return nil
	}
	p.rest = after
	return before
}

func (p *parser) number(before, after string) uint64 {
	if len(p.until(before)) > 0 {
		p.bad = true
	}
	n, err := strconv.ParseUint(string(p.until(after)), 10, 63)
	p.bad = p.bad || err != nil
	return n
}

// Head is the end of a chain: the sequence number and the hash of its last line. Seq 0 is the end of an empty log.
type Head struct {
	Log  string
	Seq  uint64
	Hash [sha256.Size]byte
}

// next checks that l, whose bytes are raw, follows h, and moves h to it.
func (h *Head) next(l *Line, raw []byte) error {
	switch {
	case h.Log != "" && l.Log != h.Log:
		return fmt.Errorf("log %q in a journal of log %q", l.Log, h.Log)
	case l.Seq != h.Seq+1:
		return fmt.Errorf("sequence %d after %d", l.Seq, h.Seq)
	case l.Prev != h.Hash:
		return fmt.Errorf("line %d does not carry the hash of the line before it", l.Seq)
	}
	h.Log, h.Seq, h.Hash = l.Log, l.Seq, sha256.Sum256(raw)
	return nil
}

// checkPayload holds a payload to one JSON object on one line, in UTF-8, without two members of one name.
func checkPayload(payload []byte) bool {
	return len(payload) > 1 && payload[0] == '{' && payload[len(payload)-1] == '}' && bytes.IndexByte(payload, '\n') < 0 && jsontext.Value(payload).IsValid()
}
