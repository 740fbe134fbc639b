package oauth

// Reason is why a request was refused, for log, metric, journal and trace; never on the wire. The set is closed.
type Reason string

// The reasons, in the order in which the token endpoint judges.
const (
	ReasonFormRules         Reason = "form_rules"         // method, media type, size, repeated parameter, two authentications
	ReasonRateLimit         Reason = "rate_limit"         // a limit of requests was passed
	ReasonClientCredentials Reason = "client_credentials" // client authentication failed or is absent
	ReasonProof             Reason = "dpop_proof"         // a DPoP proof that is missing, wrong or without the nonce
	ReasonGrantType         Reason = "grant_type"         // a grant type that is not served
	ReasonGrantNotAllowed   Reason = "grant_not_allowed"  // the client may not use the grant, or no rule names it
	ReasonParameter         Reason = "parameter"          // a parameter of the grant is missing or wrong
	ReasonToken             Reason = "token"              // a token is malformed or bad in a way that has no reason of its own
	ReasonTokenClass        Reason = "token_class"        // a token of a class that may not stand here
	ReasonTokenIssuer       Reason = "token_issuer"       // no upstream of the policy speaks for the token
	ReasonTokenAudience     Reason = "token_audience"     // the token is not meant for this exchange
	ReasonTokenTime         Reason = "token_time"         // expired, not yet valid, or too little life left
	ReasonTokenReused       Reason = "token_reused"       // one token as client credential and as subject
	ReasonSignature         Reason = "signature"
	ReasonConfirmation      Reason = "confirmation"     // sender-constrained, and no proof fits
	ReasonRevoked           Reason = "revoked"          // the token or something it descends from is revoked
	ReasonKeysUnavailable   Reason = "keys_unavailable" // the upstream's keys can't be had now
	ReasonRevocationStale   Reason = "revocation_stale" // the revocation set is too old to judge by
	ReasonTarget            Reason = "target"           // the requester reaches the target by no rule
	ReasonRequire           Reason = "require"          // a mapper refused the identity
	ReasonMapping           Reason = "mapping"          // a mapper could not be carried out
	ReasonSelector          Reason = "selector"         // no rule for this subject, requester and target
	ReasonTokenType         Reason = "token_type"       // no rule issues the requested token type
	ReasonActor             Reason = "actor"            // an actor where impersonation is the rule, none where delegation is, or one that may not act
	ReasonCondition         Reason = "condition"        // no rule's condition holds
	ReasonLineage           Reason = "lineage"          // too many ancestors
	ReasonScope             Reason = "scope"
	ReasonReplay            Reason = "replay"        // a one-shot token without id, or spent
	ReasonCode              Reason = "code"          // an authorization code that is none, is another client's, or came too late
	ReasonRefreshToken      Reason = "refresh_token" // a refresh token that is none, is another client's, or came too late
	ReasonReuse             Reason = "reuse"         // a code or refresh token used twice: what came of it is revoked
	ReasonVerifier          Reason = "verifier"      // PKCE's, or the redirect URI, does not fit the code
	ReasonRedirect          Reason = "redirect"      // a redirect URI that is not registered
	ReasonAttempt           Reason = "attempt"       // no login attempt of this browser fits
	ReasonIdPDenied         Reason = "idp_denied"    // the identity provider said no
	ReasonIdPUnavailable    Reason = "idp_unavailable"
	ReasonIdPResponse       Reason = "idp_response"   // the identity provider's answer is none
	ReasonAuthentication    Reason = "authentication" // not as fresh or as strong as was asked for
	ReasonInteraction       Reason = "interaction"    // prompt=none, and the person is needed
	ReasonNotDurable        Reason = "not_durable"    // a record could not be made durable
	ReasonUnavailable       Reason = "unavailable"    // something else that passes
	ReasonInternal          Reason = "internal"
)
