package index

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"fedbroker/store/journal"
)

// sealed is the index of a finished segment. On disk it is a header and pages of entries in order:
//
//	magic (8) | scheme (8) | number of the first line (8) | bytes of the segment (8) | until (8, unix seconds) | entries (8) | hash of the last line (32) | CRC (4)
//	pages of 255 entries {hash of the name (8), offset (8)}, filled up with zeroes, then a CRC (4) over header, number of the page and entries, and 12 zeroes
//
// Integers are big endian, the CRC is Castagnoli's. The hash of the last line, which the next segment states, ties the file to this journal.
type sealed struct {
	segment journal.Segment
	size    int64 // of the segment
	until   time.Time
	count   int
	header  []byte
	entries []entry // only where the file could not be written: for one look
}

const (
	magic       = "fbindex1"
	headerLen   = len(magic) + 5*8 + sha256.Size + crc32.Size
	entryLen    = 16
	pageEntries = 255
	pageLen     = 4096
	suffix      = ".index"
	ownerOnly   = 0o600
)

func sealedPath(s journal.Segment) string {
	return strings.TrimSuffix(s.Path, filepath.Ext(s.Path)) + suffix
}

// removeSealed takes the file away; if it cannot, loading it is refused again and costs a reading of the segment.
func removeSealed(s journal.Segment) { _ = os.Remove(sealedPath(s)) }

func compare(a, b entry) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.at, b.at))
}

func checksum(parts ...[]byte) uint32 {
	table, sum := crc32.MakeTable(crc32.Castagnoli), uint32(0)
	for _, p := range parts {
		sum = crc32.Update(sum, table, p)
	}
	return sum
}

// stamp is the header as it must be, but for its own CRC.
func (p *sealed) stamp(head journal.Head, scheme string) []byte {
	h := append(make([]byte, 0, headerLen), magic...)
	h = binary.BigEndian.AppendUint64(h, hash([]byte(scheme)))
	h = binary.BigEndian.AppendUint64(h, p.segment.First)
	h = binary.BigEndian.AppendUint64(h, uint64(p.size))
	h = binary.BigEndian.AppendUint64(h, uint64(max(0, p.until.Unix())))
	h = binary.BigEndian.AppendUint64(h, uint64(p.count))
	return append(h, head.Hash[:]...)
}

// loadSealed reads the header of a segment's file and holds it against the segment as it is. Pages are judged when they are read.
func loadSealed(s journal.Segment, head journal.Head, scheme string) (*sealed, error) {
	f, err := os.Open(sealedPath(s))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := &sealed{segment: s, header: make([]byte, headerLen)}
	if _, err := io.ReadFull(f, p.header); err != nil {
		return nil, errors.Join(errDamaged, err)
	}
	number := func(i int) int64 { return int64(binary.BigEndian.Uint64(p.header[len(magic)+8*i:])) }
	p.size, p.until, p.count = number(2), time.Unix(number(3), 0), int(number(4))
	body := p.stamp(head, scheme)
	if !bytes.Equal(body, p.header[:len(body)]) || binary.BigEndian.Uint32(p.header[len(body):]) != checksum(body) || p.count < 0 {
		return nil, errDamaged
	}
	file, err := f.Stat()
	if err != nil {
		return nil, err
	}
	lines, err := os.Stat(s.Path)
	if err != nil {
		return nil, err
	}
	if lines.Size() != p.size || file.Size() != int64(headerLen)+int64(p.pages())*pageLen {
		return nil, errDamaged
	}
	return p, nil
}

func (p *sealed) pages() int { return (p.count + pageEntries - 1) / pageEntries }

// write makes the file, in one step as others see it.
func (p *sealed) write(head journal.Head, scheme string) error {
	p.count = len(p.entries)
	body := p.stamp(head, scheme)
	p.header = binary.BigEndian.AppendUint32(body, checksum(body))
	out := append(make([]byte, 0, headerLen+p.pages()*pageLen), p.header...)
	for i := range p.pages() {
		begin := len(out)
		for _, e := range p.entries[i*pageEntries : min((i+1)*pageEntries, p.count)] {
			out = binary.BigEndian.AppendUint64(out, e.name)
			out = binary.BigEndian.AppendUint64(out, uint64(e.at))
		}
		out = append(out, make([]byte, begin+pageEntries*entryLen-len(out))...)
		out = binary.BigEndian.AppendUint32(out, p.pageSum(i, out[begin:]))
		out = append(out, make([]byte, begin+pageLen-len(out))...)
	}
	if err := replace(sealedPath(p.segment), out); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	p.entries = nil
	return nil
}

func (p *sealed) pageSum(i int, entries []byte) uint32 {
	return checksum(p.header, binary.BigEndian.AppendUint64(nil, uint64(i)), entries)
}

func replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new")
	if err != nil {
		return err
	}
	_, err = f.Write(content) // not synced: what a crash leaves is judged when it is read
	err = errors.Join(err, f.Chmod(ownerOnly), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// find looks for the first page that can hold the name, and reads on from there.
func (p *sealed) find(name uint64) (found []int64, err error) {
	if p.entries != nil {
		first, _ := slices.BinarySearchFunc(p.entries, name, func(e entry, name uint64) int { return cmp.Compare(e.name, name) })
		for _, e := range p.entries[first:] {
			if e.name != name {
				break
			}
			found = append(found, e.at)
		}
		return found, nil
	}
	f, err := os.Open(sealedPath(p.segment))
	if err != nil {
		return nil, errors.Join(errDamaged, err)
	}
	defer f.Close()
	var raw [pageLen]byte
	first := sort.Search(p.pages(), func(i int) bool {
		page, readErr := p.page(f, i, &raw)
		err = errors.Join(err, readErr)
		return readErr != nil || page.entry(page.len()-1).name >= name
	})
	for i := first; err == nil && i < p.pages(); i++ {
		var page page
		if page, err = p.page(f, i, &raw); err != nil {
			break
		}
		for j := range page.len() {
			switch e := page.entry(j); {
			case e.name > name:
				return found, nil
			case e.name == name:
				found = append(found, e.at)
			}
		}
	}
	return found, err
}

// page is 1 to 255 entries in order, as they lie in the file.
type page []byte

func (p page) len() int { return len(p) / entryLen }

func (p page) entry(i int) entry {
	e := p[i*entryLen:]
	return entry{binary.BigEndian.Uint64(e), int64(binary.BigEndian.Uint64(e[8:]))}
}

// page reads and judges a page, which is good until raw is used again.
func (p *sealed) page(f *os.File, i int, raw *[pageLen]byte) (page, error) {
	if _, err := f.ReadAt(raw[:], int64(headerLen)+int64(i)*pageLen); err != nil {
		return nil, errors.Join(errDamaged, err)
	}
	body := raw[:pageEntries*entryLen]
	if binary.BigEndian.Uint32(raw[len(body):]) != p.pageSum(i, body) {
		return nil, errDamaged
	}
	return body[:min(pageEntries, p.count-i*pageEntries)*entryLen], nil
}
