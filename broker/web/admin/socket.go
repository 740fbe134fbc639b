package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrSocketInUse: another server answers on the socket.
var ErrSocketInUse = errors.New("another server answers on the admin socket")

// ErrNoServer: nobody answers on the socket.
var ErrNoServer = errors.New("no server answers on the admin socket")

const (
	socketMode  = 0o600
	dialTimeout = 2 * time.Second // a server that lives accepts at once; the kernel does it
)

// listenSocket opens the socket for its owner alone. A stale one, of a server that was killed, is replaced; a live one, or a file
// that is none, is left alone.
func listenSocket(path string) (*net.UnixListener, error) {
	if err := freeSocket(path); err != nil {
		return nil, err
	}
	// It is bound in a folder that nobody else may enter and moved to its place with its mode set, so that at no moment a socket
	// with the mode of the umask can be reached.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // holds nothing any more
	bound := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: bound, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(bound, socketMode), os.Rename(bound, path)); err != nil {
		return nil, fmt.Errorf("admin socket: %w", errors.Join(err, l.Close()))
	}
	return l, nil
}

func freeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("admin socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("admin socket: %s is no socket", path)
	}
	conn, err := dial(path)
	if err == nil {
		return errors.Join(fmt.Errorf("%w: %s", ErrSocketInUse, path), conn.Close())
	}
	if errors.Is(err, ErrNoServer) {
		return nil
	}
	return err
}

func dial(path string) (net.Conn, error) {
	conn, err := net.DialTimeout("unix", path, dialTimeout)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w: %s", ErrNoServer, path)
	}
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	return conn, nil
}
