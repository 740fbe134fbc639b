// Package trial judges configurations and tries them out: by the fixtures that stand beside them, and by decisions that were recorded. The engine is the broker's own; it
// opens no store and no connection.
package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"fedbroker/broker"
	"fedbroker/broker/policytest"
	"fedbroker/cmd/fedbroker/config"
	"fedbroker/cmd/fedbroker/config/strict"
	"fedbroker/store"
	"fedbroker/store/engines"
)

// Pattern names the fixtures that stand beside a configuration.
const Pattern = "*.test.yaml"

// Beside are the fixtures that stand beside a configuration file, and then those beside its fragments.
func Beside(file string) ([]string, error) {
	var all []string
	for _, folder := range []string{".", config.Folder} {
		names, err := filepath.Glob(filepath.Join(filepath.Dir(file), folder, Pattern))
		if err != nil {
			return nil, fmt.Errorf("fixtures of %s: %w", file, err)
		}
		all = append(all, names...)
	}
	return all, nil
}

// UsageError says that a file can't be used. Cause is a *config.Error where it was read and is wrong.
type UsageError struct{ Cause error }

func (e *UsageError) Error() string { return e.Cause.Error() }

// Unwrap returns the cause.
func (e *UsageError) Unwrap() error { return e.Cause }

// FixturesError is all that is wrong with fixtures, file by file.
type FixturesError struct{ Files []*config.Error }

func (e *FixturesError) Error() string {
	if n := e.count(); n != 1 {
		return fmt.Sprintf("%d problems in the fixtures", n)
	}
	return "1 problem in the fixtures"
}

func (e *FixturesError) count() (n int) {
	for _, f := range e.Files {
		n += len(f.Problems)
	}
	return n
}

// Side is a configuration as the engine takes it, and what signs tokens for it.
type Side struct {
	file      string
	config    *config.Loaded
	effective any
	judge     *broker.Judge
	signer    *policytest.Signer
}

// New compiles the configuration that was loaded from file, from which secrets may be missing.
func New(ctx context.Context, file string, c *config.Loaded) (*Side, error) {
	_, effective, err := c.Effective()
	if err != nil {
		return nil, err
	}
	signer, err := policytest.NewSigner(ctx, policytest.SignerOptions{
		Issuer: c.Issuer, Leeway: *c.WithDefaults().Leeway, Engine: func() (store.Engine, error) { return engines.Open("memory", engines.Options{}) },
	})
	if err != nil {
		return nil, err
	}
	judge, err := broker.NewJudge(broker.JudgeOptions{Config: c.Config, Keys: signer.Keys, Own: signer.Own, Revoked: signer.Revoked})
	if err != nil {
		return nil, errors.Join(&UsageError{err}, signer.Close())
	}
	return &Side{file, c, effective, judge, signer}, nil
}

// Close ends what is under way, and forgets every key.
func (s *Side) Close() error {
	s.judge.Close()
	return s.signer.Close()
}

// Policy is what requests are judged by.
func (s *Side) Policy() policytest.Side { return policytest.Side{Engine: s.judge, Signer: s.signer} }

// Judge is the engine, with the keys of the trial.
func (s *Side) Judge() *broker.Judge { return s.judge }

// readFixtures reads a file, and judges it if check is not nil. The error is a *config.Error or a *UsageError.
func readFixtures(name string, check func(f policytest.File, bad func(path, format string, args ...any))) (f policytest.File, line func(path string) int, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return f, nil, &UsageError{fmt.Errorf("fixtures: %w", err)}
	}
	line, err = strict.Read(name, text, strict.Options{LookupEnv: os.LookupEnv}, &f, func(bad func(path, format string, args ...any)) {
		if check != nil {
			check(f, bad)
		}
	})
	return f, line, err
}
