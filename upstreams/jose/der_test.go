package jose

import (
	"bytes"
	"encoding/asn1"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// The standard library's encoder is the reference: shortest numbers, none that reads as negative, lengths below and above 127.
func TestP14_SignatureIsOneDERForEveryNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{32, 48, 66}).Draw(t, "size")
		number := rapid.Custom(func(t *rapid.T) []byte {
			n := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "bytes")
			zeros := rapid.IntRange(0, size).Draw(t, "leading zeros")
			return append(make([]byte, zeros), n[zeros:]...)
		})
		r, s := number.Draw(t, "r"), number.Draw(t, "s")
		want, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)})
		if err != nil {
			t.Fatal(err)
		}
		if got := derSignature(r, s); !bytes.Equal(got, want) {
			t.Fatalf("%x, want %x", got, want)
		}
	})
}
