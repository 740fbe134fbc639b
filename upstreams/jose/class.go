package jose

import "strings"

// Class is what kind of token a JWT is. Each endpoint accepts exactly one, so that none passes for another (RFC 8725 §3.11, §3.12).
type Class uint8

// The classes. The zero value is no class.
const (
	ClassNone          Class = iota
	ClassJWT                 // typ absent or JWT: an ID token, a workload's token, an assertion
	ClassAccessToken         // at+jwt (RFC 9068)
	ClassLogout              // logout+jwt, or the back-channel logout event (OpenID Connect Back-Channel Logout §2.4)
	ClassIDJAG               // oauth-id-jag+jwt (draft-ietf-oauth-identity-assertion-authz-grant)
	ClassDPoP                // dpop+jwt, or htm and htu (RFC 9449 §4.2)
	ClassSecurityEvent       // secevent+jwt, or any other event (RFC 8417 §2.2)
	ClassOther               // another typ, see Unverified.Typ
	ClassMixed               // typ and marker claims contradict each other: nobody accepts it
)

var classNames = [...]string{
	ClassNone: "none", ClassJWT: "jwt", ClassAccessToken: "access token", ClassLogout: "logout token", ClassIDJAG: "id-jag",
	ClassDPoP: "dpop proof", ClassSecurityEvent: "security event", ClassOther: "other", ClassMixed: "mixed",
}

// String names the class for logs.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "invalid"
}

// Marker is a set of claims whose mere presence matters before any of them is verified.
type Marker uint8

// The markers.
const (
	MarkerEvents       Marker = 1 << iota // events: a security event
	MarkerLogout                          // events holds the back-channel logout event
	MarkerDPoP                            // htm or htu: a proof of possession
	MarkerNonce                           // nonce: bound to a login attempt
	MarkerActor                           // act: delegated already
	MarkerMayAct                          // may_act: who may become actor
	MarkerConfirmation                    // cnf: bound to a key of its holder
)

// TypClass is the class that a typ alone stands for, in any case and with or without "application/" (RFC 7515 §4.1.9).
func TypClass(typ string) Class { return typClass(NormalTyp(typ)) }

func typClass(normal string) Class {
	switch normal {
	case "", "jwt":
		return ClassJWT
	case "at+jwt":
		return ClassAccessToken
	case "logout+jwt":
		return ClassLogout
	case "oauth-id-jag+jwt":
		return ClassIDJAG
	case "dpop+jwt":
		return ClassDPoP
	case "secevent+jwt":
		return ClassSecurityEvent
	}
	return ClassOther
}

// NormalTyp is the form in which Unverified.Typ gives a typ: lower case, without "application/" where no other slash follows. Only
// ASCII is folded, for Unicode knows other letters that become ours in lower case.
func NormalTyp(typ string) string {
	typ = strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, typ)
	if sub, ok := strings.CutPrefix(typ, "application/"); ok && sub != "" && !strings.Contains(sub, "/") {
		return sub
	}
	return typ
}

// classify lets marker claims correct a typ that says nothing special, and refuses to choose where the two contradict. A token that
// carries events is never a subject token, whatever its typ says.
func classify(typ string, m Marker) Class {
	byTyp, byMarker := typClass(typ), markerClass(m)
	switch {
	case byMarker == ClassNone, byMarker == byTyp:
		return byTyp
	case byMarker == ClassMixed:
		return ClassMixed
	case byTyp == ClassJWT, byTyp == ClassAccessToken:
		return byMarker
	}
	return ClassMixed
}

func markerClass(m Marker) Class {
	switch {
	case m&MarkerEvents != 0 && m&MarkerDPoP != 0:
		return ClassMixed
	case m&MarkerLogout != 0:
		return ClassLogout
	case m&MarkerEvents != 0:
		return ClassSecurityEvent
	case m&MarkerDPoP != 0:
		return ClassDPoP
	}
	return ClassNone
}
