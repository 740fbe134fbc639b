package jose

// UnverifiedClaims are the claims of a token whose signature nobody has checked. They serve to refuse what fails by itself, before keys
// are asked for: what they say is true only once Verify has succeeded on the same Unverified, which is the same bytes. The typed
// readers see every claim; Map is nil.
func (u Unverified) UnverifiedClaims() Claims { return Claims{members: u.members} }
