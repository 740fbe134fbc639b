package strict

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	maxSecret  = 64 << 10 // bytes; a PEM chain fits
	othersRead = fs.FileMode(0o004)
)

// files reads what the configuration points at.
type files struct{ Options }

// Absolute is a path as the file's folder has it.
func (o Options) Absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(o.Folder, path)
}

// holdsSecret names the paths whose files are secrets that someone else reads: keys of ours, and an upstream's bearer token.
func holdsSecret(key string) bool {
	return slices.Contains([]string{"key_file", "private_key_file", "bearer_token_file"}, key)
}

// exists reports a file that is not there, and warns of a secret that others can read.
func (f files) exists(r *Report, path, name string, secret bool) {
	r.read(path, name)
	info, err := os.Stat(name)
	switch {
	case err != nil:
		f.unread(r, path, name, err)
	case info.IsDir():
		r.Bad(path, "want a file, got the folder %s", name)
	case secret:
		f.exposed(r, path, name, info)
	}
}

func (f files) exposed(r *Report, path, name string, info fs.FileInfo) {
	if mode := info.Mode().Perm(); mode&othersRead != 0 {
		r.Warn(path, "others can read %s (mode %04o); want mode 0600", name, mode)
	}
}

// content reads a secret without the white space around it.
func (f files) content(r *Report, path, name string) (string, bool) {
	r.read(path, name)
	file, err := os.Open(name)
	if err != nil {
		f.unread(r, path, name, err)
		return "", false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.IsDir() {
		r.Bad(path, "want a file, got the folder %s", name)
		return "", false
	}
	f.exposed(r, path, name, info)
	text, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	trimmed := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		r.Bad(path, "want a file that can be read, got %v", reason(err, name))
	case len(text) > maxSecret:
		r.Bad(path, "want at most %d bytes in %s, got more", maxSecret, name)
	case trimmed == "":
		r.Bad(path, "want a secret in %s, got nothing", name)
	default:
		return trimmed, true
	}
	return "", false
}

func (f files) unread(r *Report, path, name string, err error) {
	if f.MayLack && errors.Is(err, fs.ErrNotExist) {
		r.Warn(path, "%s is not there; serve refuses to start without it", name)
		return
	}
	r.Bad(path, "want a file that can be read, got %v", reason(err, name))
}

// reason is an error of the file system that names the file once.
func reason(err error, name string) error { return fmt.Errorf("%s: %w", name, Reason(err)) }

// Reason is an error of the file system without the file's name.
func Reason(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
