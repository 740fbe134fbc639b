// Package nearest guesses what a mistyped word was meant to be.
package nearest

import "slices"

// Longest is how long a word may be, in bytes: what is longer is no typing error.
const Longest = 64

// Word is the one of known that a mistyped word was probably meant to be: at most a third of its letters differ.
func Word(word string, known []string) (string, bool) {
	if len(word) > Longest {
		return "", false
	}
	best, distance := "", len(word)/3+1
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := edits(word, k); d < distance {
			best, distance = k, d
		}
	}
	return best, best != ""
}

// edits counts insertions, deletions, replacements and swaps of neighbours between two words (optimal string alignment).
func edits(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// leastCommon is how many letters two words have to begin with alike before one may stand for the other.
const leastCommon = 3

// Name is like Word, and guesses further: failing that, it is the one of known that begins like the word for the longest.
func Name(word string, known []string) (string, bool) {
	if best, ok := Word(word, known); ok {
		return best, true
	}
	best, length := "", leastCommon-1
	for _, k := range slices.Sorted(slices.Values(known)) {
		if n := common(k, word); n > length {
			best, length = k, n
		}
	}
	return best, best != ""
}

func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
