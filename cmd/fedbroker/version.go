package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) version() *cobra.Command {
	return a.reports(&cobra.Command{
		Use:     "version",
		Short:   "Print version, revision and toolchain",
		Example: `  fedbroker version --output json`,
		Args:    cobra.NoArgs,
		RunE: a.does(func(context.Context, []string) error {
			b := thisBuild()
			return a.report(b, func(w io.Writer) {
				fmt.Fprintf(w, "fedbroker %s (%s, %s)\n", b.Version, b.Go, b.Platform)
				if b.Revision != "" {
					fmt.Fprintf(w, "revision  %s%s %s\n", b.Revision, map[bool]string{true: "+changes"}[b.Modified], b.Time)
				}
			})
		}),
	})
}

func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
