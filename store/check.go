package store

import (
	"fmt"
	"time"
)

// Limits of the contract. They are those that etcd and PostgreSQL hold without tuning.
const (
	MaxBucket = 32        // bytes of a bucket's name
	MaxKey    = 256       // bytes of a key
	MaxValue  = 256 << 10 // bytes of a value
	MaxOps    = 64        // ops of one Commit
	MaxScan   = 1000      // records of one Scan
)

// Instants that a record can expire at: what int64 nanoseconds since 1970 hold.
var (
	minExpires = time.Unix(0, 1)
	maxExpires = time.Unix(0, 1<<63-1)
)

// CheckName judges a bucket and a key. Every engine calls it before it looks.
func CheckName(bucket, key string) error {
	if err := checkBucket(bucket); err != nil {
		return err
	}
	if key == "" {
		return fmt.Errorf("empty key in bucket %s: %w", bucket, ErrInvalid)
	}
	return checkKeyBytes(bucket, key)
}

// CheckRange judges the arguments of a Scan.
func CheckRange(bucket string, r Range) error {
	if err := checkBucket(bucket); err != nil {
		return err
	}
	if r.Limit < 1 || r.Limit > MaxScan {
		return fmt.Errorf("scan limit %d, want 1 to %d: %w", r.Limit, MaxScan, ErrInvalid)
	}
	if err := checkKeyBytes(bucket, r.Prefix); err != nil {
		return fmt.Errorf("prefix: %w", err)
	}
	if err := checkKeyBytes(bucket, r.After); err != nil {
		return fmt.Errorf("after: %w", err)
	}
	return nil
}

// CheckSweep judges the argument of a Sweep.
func CheckSweep(limit int) error {
	if limit < 1 {
		return fmt.Errorf("sweep limit %d, want at least 1: %w", limit, ErrInvalid)
	}
	return nil
}

// CheckOps judges the ops of a Commit.
func CheckOps(ops []Op) error {
	if len(ops) == 0 {
		return fmt.Errorf("commit of no ops: %w", ErrInvalid)
	}
	if len(ops) > MaxOps {
		return fmt.Errorf("commit of %d ops, at most %d: %w", len(ops), MaxOps, ErrTooLarge)
	}
	for i := range ops {
		if err := checkOp(&ops[i]); err != nil {
			return fmt.Errorf("op %d: %w", i, err)
		}
		for j := range i { // at most 64 ops, mostly 1 or 2: cheaper than a map
			if ops[j].Key == ops[i].Key && ops[j].Bucket == ops[i].Bucket {
				return fmt.Errorf("ops %d and %d name one key of bucket %s: %w", j, i, ops[i].Bucket, ErrInvalid)
			}
		}
	}
	return nil
}

func checkOp(op *Op) error {
	if err := CheckName(op.Bucket, op.Key); err != nil {
		return err
	}
	switch {
	case op.Kind == OpPut && len(op.Value) > MaxValue:
		return fmt.Errorf("value of %d bytes in bucket %s, at most %d: %w", len(op.Value), op.Bucket, MaxValue, ErrTooLarge)
	case op.Kind == OpPut && !op.Expires.IsZero() && (op.Expires.Before(minExpires) || op.Expires.After(maxExpires)):
		return fmt.Errorf("expiry %v in bucket %s is out of range: %w", op.Expires, op.Bucket, ErrInvalid)
	case op.Kind == OpPut:
		return nil
	case op.Kind == OpDelete && op.If == Absent:
		return fmt.Errorf("delete of an absent record in bucket %s: %w", op.Bucket, ErrInvalid)
	case op.Kind == OpCheck && op.If == Any:
		return fmt.Errorf("check for anything in bucket %s: %w", op.Bucket, ErrInvalid)
	case op.Kind == OpDelete, op.Kind == OpCheck:
		if op.Value != nil || !op.Expires.IsZero() {
			return fmt.Errorf("value or expiry on an op that writes none in bucket %s: %w", op.Bucket, ErrInvalid)
		}
		return nil
	}
	return fmt.Errorf("op kind %d: %w", op.Kind, ErrInvalid)
}

func checkBucket(bucket string) error {
	if len(bucket) < 1 || len(bucket) > MaxBucket {
		return fmt.Errorf("bucket name of %d bytes, want 1 to %d: %w", len(bucket), MaxBucket, ErrInvalid)
	}
	for i := range len(bucket) {
		if c := bucket[i]; c != '_' && (c < 'a' || c > 'z') {
			return fmt.Errorf("bucket name %q, want letters a to z and _: %w", bucket, ErrInvalid)
		}
	}
	return nil
}

func checkKeyBytes(bucket, key string) error {
	if len(key) > MaxKey {
		return fmt.Errorf("key of %d bytes in bucket %s, at most %d: %w", len(key), bucket, MaxKey, ErrTooLarge)
	}
	for i := range len(key) {
		if key[i] < '!' || key[i] > '~' {
			return fmt.Errorf("key in bucket %s holds the byte 0x%02x, want 0x21 to 0x7e: %w", bucket, key[i], ErrInvalid)
		}
	}
	return nil
}
