package explain

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"fedbroker/broker/decision"
	"fedbroker/broker/oauth"
	"fedbroker/mappers"
	"fedbroker/mappers/printable"
	"fedbroker/upstreams/jose"
)

const classOpaque = "opaque"

// token tells what a token is, nil if there is none.
func (c Configuration) token(raw string, verified bool, tr mappers.Trace) *Token {
	if raw == "" {
		return nil
	}
	parsed, err := jose.Parse(raw)
	if err != nil {
		return &Token{Class: classOpaque, Verified: verified}
	}
	t := &Token{Class: parsed.Class().String(), Typ: parsed.Typ(), Own: parsed.UnverifiedIssuer() == c.Issuer, Verified: verified}
	presets := 0
	if up, found := c.Select.Select(parsed.UnverifiedIssuer(), parsed.UnverifiedAudience()); found && !t.Own {
		t.Upstream = up.Name()
		for _, u := range c.Upstreams {
			if u.Spec.Name == t.Upstream {
				presets = u.Conditions
				if u.Spec.IssuerPattern != "" {
					t.Issuer = parsed.UnverifiedIssuer()
				}
			}
		}
	}
	if claims, err := payload(raw); err == nil {
		reads := c.Reads(t.Upstream, t.Own)
		if parsed.Class() == jose.ClassIDJAG {
			reads.Names = slices.Concat(reads.Names, decision.OfIDJAG())
		}
		t.Claims = decision.Keep(claims, t.Own, reads)
	}
	t.Mapping = mapping(tr, presets)
	return t
}

// payload reads the claims of a token whose form jose has judged.
func payload(raw string) (map[string]any, error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a JWT")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	var t decision.Token // reads numbers as jose does
	if err := json.Unmarshal(bytes.Join([][]byte{[]byte(`{"claims":`), text, []byte(`}`)}, nil), &t); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return t.Claims, nil
}

func stepName(s mappers.Step, presets int) string {
	switch {
	case s.Index < 0:
		return s.Kind
	case s.Index < presets:
		return fmt.Sprintf("preset[%d]", s.Index)
	default:
		return fmt.Sprintf("mappers[%d]", s.Index-presets)
	}
}

// cause is an error for people. Of a refusal it is the private cause alone, since code and reason stand beside it.
func cause(err error) string {
	if err == nil {
		return ""
	}
	if refusal, ok := errors.AsType[*oauth.Error](err); ok {
		if err = refusal.Unwrap(); err == nil {
			return string(refusal.Reason)
		}
	}
	return printable.Text(err.Error())
}
