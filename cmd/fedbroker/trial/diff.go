package trial

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"fedbroker/broker/decision"
	"fedbroker/broker/policytest"
)

// Diff compares two configurations: what they have differently, what becomes of the fixtures beside them, and of the decisions recorded in
// the file replay, "" for none. The error is a *UsageError or *config.Error where a file is to blame.
func Diff(ctx context.Context, was, is *Side, replay string) (policytest.Report, error) {
	report := policytest.Report{Old: was.file, New: is.file, Changes: policytest.Between(was.effective, is.effective)}
	var err error
	if report.Tests, err = compare(ctx, was, is); err != nil || replay == "" {
		return report, err
	}
	report.Replay, err = again(ctx, was, is, replay)
	return report, err
}

// compare carries out the tests beside both configurations under each.
func compare(ctx context.Context, was, is *Side) (policytest.Tally, error) {
	tally := policytest.NewTally()
	var files []string
	for _, s := range []*Side{was, is} {
		found, err := Beside(s.file)
		if err != nil {
			return tally, err
		}
		for _, name := range found {
			if name = filepath.Clean(name); !slices.Contains(files, name) {
				files = append(files, name)
			}
		}
	}
	for _, name := range files {
		f, line, err := readFixtures(name, nil) // what it means is judged under each configuration
		if err != nil {
			return tally, err
		}
		all, err := policytest.Compare(ctx, was.Policy(), is.Policy(), f)
		if err != nil {
			return tally, fmt.Errorf("%s: %w", name, err)
		}
		for i, d := range all {
			tally.Add(fmt.Sprintf("%s:%d: %s", name, line(testPath(i)), f.Tests[i].Name), d)
		}
	}
	return tally, nil
}

// again takes each recorded decision again.
func again(ctx context.Context, was, is *Side, name string) (*policytest.Tally, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, &UsageError{fmt.Errorf("recorded decisions: %w", err)}
	}
	defer file.Close()
	records, err := decision.Read(file)
	if err != nil {
		return nil, &UsageError{fmt.Errorf("%s: %w", name, err)}
	}
	tally := policytest.NewTally()
	for _, r := range records {
		d, err := policytest.Replay(ctx, was.Policy(), is.Policy(), r)
		if err != nil {
			return nil, fmt.Errorf("decision %s: %w", r.ID, err)
		}
		tally.Add(r.ID, d)
	}
	return &tally, nil
}
