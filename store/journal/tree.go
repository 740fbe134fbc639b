package journal

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sort"
)

// The keys of all subjects are the leaves of one tree in which a parent's key gives its children's, and a child's nothing of its
// parent's or siblings' (Goldreich, Goldwasser, Micali: How to construct random functions, JACM 33(4), 1986). That makes it
// puncturable: to take one leaf out, the node that covers it is replaced by its descendants beside the path to that leaf (Kiayias
// et al., CCS 2013; Boneh and Waters, ASIACRYPT 2013; Green and Miers, IEEE S&P 2015, for erasing as here). What is left gives
// every other leaf, and the punctured one looks random to who holds it.
//
// SHA-256 over the 32 bytes of a key and one byte of label is the step: one block, inputs of one length (nothing to extend), a
// PRF keyed by its first bytes as HMAC's proof asks. Four children halve the steps of a binary tree for half as many nodes more.
//
// Positions are 64 bits of a keyed hash. Should two subjects share one, they still have two MACs, but erasing either erases both.
// Only erased leaves count: of 10⁷ subjects, against 10⁵ erasures of two leaves each, one is lost with a chance of 10⁻⁷.
const (
	fanBits     = 2  // of a position decide at each step
	groupBits   = 14 // of a position name its group: the trees are as many, each with a seed of its own
	groups      = 1 << groupBits
	groupHeight = (64 - groupBits) / fanBits // steps from a group's seed to a leaf
	treeKeyLen  = sha256.Size
)

// Labels of a step: 0 to 3 are a node's children; a leaf has one key for each use.
const (
	labelMAC  = 4
	labelSeal = 5
)

type treeKey [treeKeyLen]byte

func (k treeKey) derive(label byte) treeKey {
	var in [treeKeyLen + 1]byte
	copy(in[:], k[:])
	in[treeKeyLen] = label
	return sha256.Sum256(in[:])
}

// node covers the 4^height positions from first on.
type node struct {
	first  uint64
	height int
	key    treeKey
}

func (n node) covers(position uint64) bool { return (n.first^position)>>(n.height*fanBits) == 0 }

func (n node) leaf(position uint64) treeKey {
	key := n.key
	for h := n.height - 1; h >= 0; h-- {
		key = key.derive(byte(position>>(h*fanBits)) & (1<<fanBits - 1))
	}
	return key
}

func (n node) children() (list [1 << fanBits]node) {
	h := n.height - 1
	for i := range list {
		list[i] = node{first: n.first | uint64(i)<<(h*fanBits), height: h, key: n.key.derive(byte(i))}
	}
	return list
}

// group is what is left of one tree: nodes that don't overlap, in order of position.
type group []node

func groupOf(position uint64) int { return int(position >> (64 - groupBits)) }

// wholeGroup is a tree from which nothing was taken.
func wholeGroup(number int, seed treeKey) group {
	return group{{first: uint64(number) << (64 - groupBits), height: groupHeight, key: seed}}
}

// cover returns the index of the node that covers position; -1: it was taken out.
func (g group) cover(position uint64) int {
	i := sort.Search(len(g), func(i int) bool { return g[i].first > position }) - 1
	if i < 0 || !g[i].covers(position) {
		return -1
	}
	return i
}

// without returns the group with the leaf taken out. g itself does not change.
func (g group) without(position uint64) group {
	i := g.cover(position)
	if i < 0 {
		return g
	}
	var beside group
	for n := g[i]; n.height > 0; {
		for _, child := range n.children() {
			if child.covers(position) {
				n = child
			} else {
				beside = append(beside, child)
			}
		}
	}
	slices.SortFunc(beside, func(a, b node) int { return cmp.Compare(a.first, b.first) })
	return slices.Concat(g[:i], beside, g[i+1:])
}

// nodeLen is a node in a record: first (8 bytes, big endian), height, key.
const nodeLen = 8 + 1 + treeKeyLen

var errDamaged = errors.New("journal subjects: the records of the key tree are incomplete or damaged")

func (g group) encode() []byte {
	out := make([]byte, 0, len(g)*nodeLen)
	for _, n := range g {
		out = binary.BigEndian.AppendUint64(out, n.first)
		out = append(out, byte(n.height))
		out = append(out, n.key[:]...)
	}
	return out
}

func decodeGroup(raw []byte) (group, error) {
	if len(raw)%nodeLen != 0 {
		return nil, errDamaged
	}
	g := make(group, 0, len(raw)/nodeLen)
	for b := range slices.Chunk(raw, nodeLen) {
		n := node{first: binary.BigEndian.Uint64(b), height: int(b[8]), key: treeKey(b[9:])}
		if n.height >= groupHeight || len(g) > 0 && n.first <= g[len(g)-1].first {
			return nil, errDamaged
		}
		g = append(g, n)
	}
	return g, nil
}
