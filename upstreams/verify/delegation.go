package verify

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/subject"
)

// has tells whether the token has a claim that changes what it is; an opaque token has no markers.
func (j *judgement) has(m jose.Marker, claim string) bool {
	return j.token.Has(m) || j.opaque && j.unverified.Has(claim)
}

// maxActors is how long a chain of actors of an upstream may be.
const maxActors = 8

// actors reads who acts for the token's subject, and who may (RFC 8693 §4.1, §4.4). Each actor becomes a subject of ours (P20), so each has to be
// one that this upstream can name: with its own iss, or none, and with no member that would be lost.
//
// A login's ID token is its person's own, and a workload's credential its own: what says that somebody else acts is neither (P19).
func (j *judgement) actors() error {
	if own := j.login() || j.want.Purpose == PurposeClient; own && (j.has(jose.MarkerActor, "act") || j.has(jose.MarkerMayAct, "may_act")) {
		return j.refused(ReasonClaim, "act or may_act at a login or in a credential")
	}
	if j.has(jose.MarkerActor, "act") {
		for claim := j.unverified.Value("act"); claim != nil; {
			members, ok := claim.(map[string]any)
			sub, _ := members["sub"].(string)
			iss, named := members["iss"]
			if !ok || sub == "" || named && iss != j.iss || len(j.identity.Actors) == maxActors {
				return j.refused(ReasonClaim, "act is no chain of at most %d of the upstream's subjects", maxActors)
			}
			for name := range members {
				if name != "sub" && name != "iss" && name != "act" {
					return j.refused(ReasonClaim, "act has a member that is not known")
				}
			}
			j.identity.Actors = append(j.identity.Actors, subject.Broker(j.Upstream, j.iss, sub, j.ManyIssuers()))
			claim, ok = members["act"]
			if ok && claim == nil {
				return j.refused(ReasonClaim, "act is null")
			}
		}
		if j.identity.Actors == nil {
			return j.refused(ReasonClaim, "act is null")
		}
	}
	if j.has(jose.MarkerMayAct, "may_act") {
		may, ok := j.unverified.Value("may_act").(map[string]any)
		if !ok {
			return j.refused(ReasonClaim, "may_act is no object")
		}
		for name, value := range may { // one that is not known could narrow what is not understood
			if text, isText := value.(string); !isText || text == "" || name != "iss" && name != "sub" && name != "client_id" {
				return j.refused(ReasonClaim, "may_act has a member that is not known, or is no name")
			}
		}
		j.identity.MayAct = may
	}
	return nil
}

// thumbprintLength is that of a SHA-256 as base64url without padding.
const thumbprintLength = 43

// confirmation reads the key that the token is bound to (RFC 9449 §6.1). A binding of another kind nobody here can prove (P25). At the end of a
// login the token comes from the upstream itself; a client's credential is for whoever bears it.
func (j *judgement) confirmation() error {
	if !j.has(jose.MarkerConfirmation, "cnf") || j.login() {
		return nil
	}
	members, _ := j.unverified.Value("cnf").(map[string]any)
	key, _ := members["jkt"].(string)
	if len(members) != 1 || len(key) != thumbprintLength || strings.Trim(key, thumbprintAlphabet) != "" || j.want.Purpose == PurposeClient {
		return j.refused(ReasonConfirmation, "bound to a key in a way that cannot be proven here")
	}
	j.identity.Confirmed = key
	return nil
}

const thumbprintAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// maxIDJAGLife is how long an ID-JAG may live (P23).
const maxIDJAGLife = 5 * time.Minute

// idJAG holds an ID-JAG to what is more in it than in other assertions (draft-ietf-oauth-identity-assertion-authz-grant): it is for us alone, for
// one client, once, and not for long.
func (j *judgement) idJAG() error {
	if j.token.Class() != jose.ClassIDJAG {
		return nil
	}
	id := &j.identity
	if aud := j.token.UnverifiedAudience(); len(aud) != 1 || aud[0] != j.OurIssuer {
		return j.refused(ReasonAudience, "the ID-JAG is not for our issuer alone")
	}
	if id.Expires.Sub(id.IssuedAt) > maxIDJAGLife {
		return j.refused(ReasonTime, "the ID-JAG lives longer than %v", maxIDJAGLife)
	}
	optional := func(err error) error {
		if errors.Is(err, jose.ErrAbsent) {
			return nil
		}
		return err
	}
	jti, errID := j.unverified.String("jti")
	var errClient, errScope, errResource error
	id.ClientID, errClient = j.unverified.String("client_id")
	scope, err := j.unverified.String("scope")
	errScope = optional(err)
	id.Resources, err = j.unverified.StringList("resource")
	errResource = optional(err)
	if jti == "" || id.ClientID == "" {
		errID = errors.Join(errID, errors.New("jti and client_id are required"))
	}
	if err := errors.Join(errID, errClient, errScope, errResource); err != nil {
		return j.Refuse(ReasonClaim, fmt.Errorf("ID-JAG: %w", err))
	}
	id.Scopes = strings.Fields(scope)
	if id.ClientID != j.want.Requester {
		return j.refused(ReasonAudience, "the ID-JAG is for another client")
	}
	return nil
}
