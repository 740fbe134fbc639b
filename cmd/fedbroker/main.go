// Command fedbroker is a multi-IdP federation token broker: one issuer that internal services trust, in front of the many that they should not
// have to know.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker (-X main.version=v1.2.3) and never written otherwise.
var version = "dev"

func main() {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // of libraries: zitadel/oidc tells it each route, and more than belongs in a log
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
