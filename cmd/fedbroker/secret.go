package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"fedbroker/store"
)

// secretBytes is 256 bits: as much as the hash that we keep of it.
const secretBytes = 32

type newSecret struct {
	Secret       string `json:"secret"`
	SecretSHA256 string `json:"secret_sha256"`
}

type newSealKey struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

func (a *app) secret() *cobra.Command {
	var seal bool
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Print a new client secret and its secret_sha256, or a new seal key",
		Long: `Prints a new client secret of 256 random bits for the client, and its secret_sha256 for fedbroker.yaml.
With --seal it prints a new seal key and nothing else, to be kept in a file that only the broker reads.`,
		Example: `  fedbroker secret
  (umask 077; fedbroker secret --seal > seal.key)`,
		Args: cobra.NoArgs,
		RunE: a.does(func(context.Context, []string) error {
			if seal {
				return a.printSealKey()
			}
			return a.printSecret()
		}),
	}
	cmd.Flags().BoolVar(&seal, "seal", false, "print a seal key instead")
	return a.reports(cmd)
}

func (a *app) printSecret() error {
	random := make([]byte, secretBytes)
	rand.Read(random)
	secret := base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(secret))
	made := newSecret{secret, hex.EncodeToString(sum[:])}
	return a.report(made, func(w io.Writer) {
		fmt.Fprintf(w, "secret:        %s\nsecret_sha256: %s\n", made.Secret, made.SecretSHA256)
	})
}

func (a *app) printSealKey() error {
	var key [32]byte
	rand.Read(key[:])
	made := newSealKey{store.SealKeyID(key), base64.StdEncoding.EncodeToString(key[:])}
	return a.report(made, func(w io.Writer) { fmt.Fprintln(w, made.Key) })
}
