package verify

import (
	"errors"
	"slices"
	"time"

	"fedbroker/upstreams/jose"
)

// audience finds the value of aud that admits the token for its purpose, and judges azp against it (P11).
func (j *judgement) audience() error {
	aud, err := j.admitted()
	if err != nil {
		return j.Refuse(ReasonAudience, err)
	}
	azp, err := j.unverified.String("azp")
	if err != nil && !errors.Is(err, jose.ErrAbsent) {
		return j.Refuse(ReasonClaim, err)
	}
	matched, err := j.match(aud, azp)
	if err != nil {
		return err
	}
	if azp != "" && azp != matched && !slices.Contains(j.Parties, azp) {
		return j.refused(ReasonAudience, "azp is neither the audience nor in authorized_parties")
	}
	j.identity.Audience, j.identity.Audiences, j.identity.AuthorizedParty = matched, slices.Clone(aud), azp
	return nil
}

func (j *judgement) match(aud []string, azp string) (string, error) {
	switch j.want.Purpose {
	case PurposeLogin, PurposeRefresh:
		return j.matchLogin(aud, azp)
	case PurposeClient:
		if len(aud) != 1 || aud[0] != j.want.ClientAudience {
			return "", j.refused(ReasonAudience, "aud is not exactly the assertion's audience")
		}
		return aud[0], nil
	}
	return j.matchExchange(aud, azp)
}

// matchLogin is OpenID Connect Core §3.1.3.7 steps 3 to 5: our client_id is there, every further audience is one that we trust, and with
// several the token says that it was issued to us.
func (j *judgement) matchLogin(aud []string, azp string) (string, error) {
	if !slices.Contains(aud, j.LoginAudience) {
		return "", j.refused(ReasonAudience, "aud lacks client_id")
	}
	for _, a := range aud {
		if a != j.LoginAudience && (!slices.Contains(j.Parties, a) || j.Exchanges(a)) {
			return "", j.refused(ReasonAudience, "aud has a value that is not trusted at login")
		}
	}
	if azp != j.LoginAudience && (azp != "" || len(aud) > 1) {
		return "", j.refused(ReasonAudience, "azp is not client_id")
	}
	return j.LoginAudience, nil
}

// matchExchange takes the audience that is azp if it can, else the first configured one that the requester may use. A token that also names
// our client_id is one of our logins, and not for exchange.
func (j *judgement) matchExchange(aud []string, azp string) (string, error) {
	if j.LoginAudience != "" && slices.Contains(aud, j.LoginAudience) {
		return "", j.refused(ReasonAudience, "aud has the audience of login")
	}
	matched, found := "", false
	for _, a := range j.Audiences {
		if !slices.Contains(aud, a.Value) || !a.Admits(j.want.Requester) {
			continue
		}
		if !found || a.Value == azp {
			matched, found = a.Value, true
		}
	}
	if !found {
		return "", j.refused(ReasonAudience, "aud has no audience for exchange that is open to the requester")
	}
	return matched, nil
}

// times judges exp, iat, nbf, and how old the token may be, with the same leeway on both sides (P12). exp and iat are required.
func (j *judgement) times() error {
	read := func(name string, into *time.Time, required bool) error {
		at, err := j.unverified.Time(name)
		*into = at
		if err != nil && !required && errors.Is(err, jose.ErrAbsent) {
			return nil
		}
		return err
	}
	id, now := &j.identity, j.want.Now
	if err := errors.Join(read("exp", &id.Expires, true), read("iat", &id.IssuedAt, !j.opaque), read("nbf", &id.NotBefore, false),
		read("auth_time", &id.AuthTime, false)); err != nil {
		return j.Refuse(ReasonTime, err)
	}
	switch {
	case !now.Before(id.Expires.Add(j.Leeway)):
		return j.refused(ReasonTime, "expired")
	case now.Before(id.IssuedAt.Add(-j.Leeway)):
		return j.refused(ReasonTime, "issued in the future")
	case now.Before(id.NotBefore.Add(-j.Leeway)):
		return j.refused(ReasonTime, "not yet valid")
	case now.Before(id.AuthTime.Add(-j.Leeway)):
		return j.refused(ReasonTime, "authenticated in the future")
	case j.want.MaxAge > 0 && now.After(id.IssuedAt.Add(j.want.MaxAge+j.Leeway)):
		return j.refused(ReasonTime, "issued too long ago")
	}
	return nil
}
