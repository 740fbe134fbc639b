package outbound

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxBearer is the length of the longest bearer token, in bytes: a service account's has about 1 KiB.
const maxBearer = 16 << 10

// BearerFile reads a bearer token from a file at each call, since whoever writes it (a kubelet) replaces it. Surrounding white
// space is not part of it. Its errors name the file, never the content.
func BearerFile(path string) func() (string, error) {
	return func() (string, error) {
		f, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("bearer token: %w", err)
		}
		defer func() { _ = f.Close() }()
		data, err := io.ReadAll(io.LimitReader(f, maxBearer+1))
		if err != nil {
			return "", fmt.Errorf("bearer token: %w", err)
		}
		token := strings.TrimSpace(string(data))
		if token == "" || len(data) > maxBearer || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return "", errors.New("bearer token: " + path + ": want one line of printable ASCII")
		}
		return token, nil
	}
}
