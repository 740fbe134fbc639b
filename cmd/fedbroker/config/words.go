package config

import (
	"fedbroker/broker/oauth"
	"fedbroker/mappers"
	"fedbroker/upstreams"
	"fedbroker/upstreams/presets"
)

const (
	namePattern   = `^[a-z0-9][a-z0-9-]{0,31}$`
	clientPattern = `^[A-Za-z0-9._-]{1,64}$`
	claimPattern  = `^[A-Za-z_][A-Za-z0-9_:./-]{0,63}$`
	hexPattern    = `^[0-9a-f]{64}$`
	ratePattern   = `^[0-9]+/s$`
)

// words describe every key, by the path that it has without indexes; what stands in more than one place begins with the name of its definition.
func words() map[string]word {
	out := map[string]word{}
	for _, part := range []map[string]word{topWords(), upstreamWords(), clientWords(), ruleWords(), sharedWords()} {
		for path, w := range part {
			out[path] = w
		}
	}
	return out
}

func topWords() map[string]word {
	return map[string]word{
		"issuer":                      {text: "Our own issuer URL: https, or http on loopback. It may have a path.", required: true},
		"listen":                      {text: "HOST:PORT of the public listener.", fallback: "127.0.0.1:8443"},
		"tls":                         {text: "Certificate of the public listener; absent behind a proxy that ends TLS."},
		"trusted_proxies":             {text: "Addresses and CIDRs whose X-Forwarded-For counts."},
		"leeway":                      {text: "Tolerance for clocks, both ways, 0s to 2m.", fallback: "30s"},
		"revocation_max_stale":        {text: "How old the view of revocations may be before tokens are answered with 503.", fallback: "10s"},
		"scopes":                      {text: "Claims released per scope, beside the standard ones."},
		"admin":                       {text: "The operator's plane: health, metrics, and the socket that the commands use."},
		"admin.listen":                {text: "HOST:PORT of the admin listener; absent: the socket only."},
		"admin.socket":                {text: "Unix socket of the commands, mode 0600.", fallback: "fedbroker.sock beside the store file"},
		"admin.hosts":                 {text: "Values of Host that the admin listener answers.", fallback: "the host of admin.listen"},
		"admin.token":                 {text: "Bearer token of the operator's API on the admin listener."},
		"admin.tls":                   {text: "Certificate of the admin listener."},
		"admin.client_ca_file":        {text: "CA whose client certificates open the operator's API."},
		"store":                       {text: "Where grants, keys and revocations are kept."},
		"store.engine":                {text: "The engine.", fallback: "bbolt", enum: engineKinds()},
		"store.path":                  {text: "The engine's file. One process opens it.", fallback: "fedbroker.db"},
		"audit":                       {text: "The journal: audit events and lineage, hash-chained."},
		"audit.dir":                   {text: "The journal's folder.", fallback: "journal"},
		"audit.durability":            {text: "wait: an answer leaves after its line is synced; async: once it is queued.", fallback: "wait", enum: []string{"wait", "async"}},
		"seal":                        {text: "The key that seals private keys at rest, or several: the first seals, all open.", required: true},
		"seal.id":                     {text: "The key's name.", fallback: "the first 8 hex digits of its SHA-256"},
		"seal.key":                    {text: "32 random bytes as base64 or hex; better in key_file."},
		"seal.keys":                   {text: "Several keys, for a change of key: the first seals, all open."},
		"log":                         {text: "What is logged, to standard error."},
		"log.level":                   {text: "The least level that is logged.", fallback: "info", enum: []string{"debug", "info", "warn", "error"}},
		"log.format":                  {text: "One JSON object or one text line each.", fallback: "json", enum: []string{"json", "text"}},
		"signing":                     {text: "Our signing keys."},
		"signing.algorithms":          {text: "Algorithms that a key is kept for.", fallback: "[ES256, RS256]"},
		"signing.rotate_every":        {text: "Age at which a key is replaced.", fallback: "720h"},
		"tokens":                      {text: "Lifetimes of what we issue."},
		"tokens.access_ttl":           {text: "Access tokens, where no rule says otherwise.", fallback: "10m"},
		"tokens.id_ttl":               {text: "ID tokens.", fallback: "10m"},
		"tokens.code_ttl":             {text: "Authorization codes.", fallback: "60s"},
		"tokens.refresh_ttl":          {text: "Refresh families, from the first login.", fallback: "720h"},
		"tokens.refresh_idle":         {text: "Refresh families, from the last use.", fallback: "168h"},
		"tokens.refresh_grace":        {text: "How long a just rotated refresh token is answered again; 0s: never.", fallback: "10s"},
		"tokens.act_depth":            {text: "The longest chain of actors.", fallback: "8"},
		"sessions":                    {text: "Login sessions."},
		"sessions.ttl":                {text: "From login to its end.", fallback: "12h"},
		"sessions.idle":               {text: "From the last use to its end.", fallback: "1h"},
		"limits":                      {text: "Rates, each N/s with a burst of 10 N; off unless written."},
		"limits.client":               {text: "Per client.", pattern: ratePattern},
		"limits.address":              {text: "Per address, before anything is verified.", pattern: ratePattern},
		"limits.subject":              {text: "Per subject.", pattern: ratePattern},
		"limits.anonymous":            {text: "Per address, for requests without a client.", fallback: "10/s", pattern: ratePattern},
		"resource_servers":            {text: "Authorization servers that we issue identity assertions (ID-JAG) for."},
		"resource_servers.issuer":     {text: "Its issuer URL.", required: true},
		"resource_servers.client_ids": {text: "What our clients are called there."},
		"resource_servers.scopes":     {text: "Scopes that may be asked for."},
		"upstreams":                   {text: "Who may vouch for subjects."},
		"clients":                     {text: "Who may ask."},
		"exchange":                    {text: "The policy: the first rule that applies decides; none: refused."},
	}
}

func upstreamWords() map[string]word {
	return map[string]word{
		"upstreams.name":                        {text: "Its name, which every subject of it carries: never reuse one.", pattern: namePattern, required: true},
		"upstreams.kind":                        {text: "jwt: its tokens are verified. oidc: people log in there, too.", enum: upstreams.Kinds(), required: true},
		"upstreams.preset":                      {text: "An issuer that we know: issuer, algorithms, claim types and safe conditions come with it.", enum: presets.Names()},
		"upstreams.issuer":                      {text: "The issuer, byte for byte as its tokens name it."},
		"upstreams.issuer_pattern":              {text: "Issuers of one provider, with a wildcard for one path or label segment each."},
		"upstreams.issuers":                     {text: "The issuers that issuer_pattern may match."},
		"upstreams.jwks_uri":                    {text: "Its key set, where discovery is not to be used."},
		"upstreams.jwks_file":                   {text: "Its key set as a file."},
		"upstreams.ca_file":                     {text: "CA certificates (PEM) for a private issuer."},
		"upstreams.bearer_token_file":           {text: "A token to fetch keys with, such as a Kubernetes service account's; read anew when it changes."},
		"upstreams.allow_private":               {text: "Hosts whose private addresses may be dialled."},
		"upstreams.credential_hosts":            {text: "Hosts beside the issuer's that may get credentials."},
		"upstreams.audiences":                   {text: "Audiences of its tokens that may be exchanged; without any, none is."},
		"upstreams.audiences.value":             {text: "The audience.", required: true},
		"upstreams.audiences.requesters":        {text: "The only clients that may exchange tokens for this audience."},
		"upstreams.authorized_parties":          {text: "Values of azp accepted beside the matched audience."},
		"upstreams.algorithms":                  {text: "Signature algorithms that its tokens may have.", fallback: "[RS256, PS256, ES256, ES384, EdDSA]"},
		"upstreams.accept_typ":                  {text: "Values of typ accepted beside JWT and none.", fallback: "[at+jwt]"},
		"upstreams.subject":                     {text: "The claim, or claims joined by /, that names the subject; never a name or an e-mail address.", fallback: "sub"},
		"upstreams.acr_map":                     {text: "Its acr values → ours; others are dropped."},
		"upstreams.amr_map":                     {text: "Its amr values → ours; others are dropped."},
		"upstreams.email_domains":               {text: "Domains of the e-mail addresses that it may vouch for, or any.", fallback: "domains"},
		"upstreams.leeway":                      {text: "Tolerance for its clock, 0s to 2m.", fallback: "leeway"},
		"upstreams.max_stale":                   {text: "How long its last good keys serve while it is down.", fallback: "24h"},
		"upstreams.display_name":                {text: "What people see."},
		"upstreams.domains":                     {text: "Domains whose people log in here."},
		"upstreams.client_id":                   {text: "Our client id there."},
		"upstreams.client_secret":               {text: "Our client secret there; better in client_secret_file."},
		"upstreams.auth_method":                 {text: "How we authenticate there.", fallback: oauth.AuthSecretBasic},
		"upstreams.private_key_file":            {text: "The key of private_key_jwt (PEM)."},
		"upstreams.scopes":                      {text: "Scopes that a login asks for."},
		"upstreams.response_mode":               {text: "How a login's answer comes back.", fallback: "query", enum: []string{"query", "form_post"}},
		"upstreams.trust_prompt":                {text: "It honours prompt=login without proving it by auth_time."},
		"upstreams.linking":                     {text: "People may link an identity of it with another."},
		"upstreams.refresh":                     {text: "Its refresh tokens are kept, sealed."},
		"upstreams.introspection":               {text: "Where opaque tokens of it are introspected."},
		"upstreams.introspection.endpoint":      {text: "The endpoint (RFC 7662).", required: true},
		"upstreams.introspection.client_id":     {text: "Our client id there.", required: true},
		"upstreams.introspection.client_secret": {text: "Our client secret there."},
		"upstreams.mappers":                     {text: "Steps from its claims to ours, in order."},
	}
}

func clientWords() map[string]word {
	return map[string]word{
		"clients.id":                        {text: "The client id.", pattern: clientPattern, required: true},
		"clients.secret":                    {text: "Its secret; better secret_file or secret_sha256."},
		"clients.secret_sha256":             {text: "SHA-256 of its secret, as `fedbroker secret` prints it.", pattern: hexPattern},
		"clients.jwks_uri":                  {text: "Its keys, for private_key_jwt."},
		"clients.jwks_file":                 {text: "Its keys as a file, for private_key_jwt."},
		"clients.auth_method":               {text: "How it authenticates.", fallback: "by what it has: a secret, keys, or public", enum: authMethods()},
		"clients.public":                    {text: "It can keep no secret."},
		"clients.native":                    {text: "It is an app on a device (RFC 8252)."},
		"clients.pkce":                      {text: "Whether its logins need PKCE.", fallback: "required", enum: []string{"required", "optional"}},
		"clients.redirect_uris":             {text: "Where logins may return to, compared exactly."},
		"clients.post_logout_redirect_uris": {text: "Where logouts may return to."},
		"clients.origins":                   {text: "Origins that CORS admits."},
		"clients.grant_types":               {text: "Grants that it may use.", enum: oauth.GrantNames()},
		"clients.scopes":                    {text: "Scopes that it may have from client_credentials and logins."},
		"clients.audiences":                 {text: "Audiences that it may have from client_credentials."},
		"clients.identifiers":               {text: "Resource names that this client is: tokens for them are its to exchange and to introspect."},
		"clients.upstreams":                 {text: "Upstreams whose people may log in here; absent: all."},
		"clients.upstream_claim":            {text: "What its tokens say of the upstream.", fallback: "name", enum: []string{"name", "full"}},
		"clients.mappers":                   {text: "Steps from the principal to what this client gets."},
		"clients.id_token_claims":           {text: "Claims that its ID tokens carry."},
		"clients.id_token_alg":              {text: "Algorithm of its ID tokens.", fallback: "ES256"},
		"clients.session_refresh":           {text: "It gets refresh tokens that end with the session."},
		"clients.require_acr":               {text: "Assurance that a login must have."},
		"clients.assertion":                 {text: "An upstream's token that authenticates it in place of a secret."},
		"clients.assertion.upstream":        {text: "The upstream.", required: true},
		"clients.assertion.subject":         {text: "The token's sub, exactly.", required: true},
		"clients.assertion.audience":        {text: "The token's aud, exactly; never an exchange audience.", required: true},
		"clients.assertion.max_age":         {text: "How old the token may be.", fallback: "1h"},
		"clients.assertion_aud":             {text: "legacy: assertions may name the token URL as audience.", fallback: "issuer", enum: []string{"issuer", "legacy"}},
		"clients.profile":                   {text: "A security profile.", enum: []string{"fapi2"}},
	}
}

func ruleWords() map[string]word {
	return map[string]word{
		"exchange.id":                       {text: "Its id: decisions, journal and metrics name it.", pattern: clientPattern, required: true},
		"exchange.mode":                     {text: "audit: it is judged and recorded, and never grants.", fallback: "enforce", enum: []string{"enforce", "audit"}},
		"exchange.bound_subject":            {text: "Whether sender-constrained subjects are accepted.", fallback: "refuse", enum: []string{"refuse", "accept"}},
		"exchange.subject":                  {text: "Whose tokens.", required: true},
		"exchange.subject.upstream":         {text: "Tokens of this upstream; with issued: ours, of this upstream's people."},
		"exchange.subject.issued":           {text: "Our own tokens."},
		"exchange.subject.when":             {text: "A condition (CEL) over claims, principal, scopes and request."},
		"exchange.requester":                {text: "Who may ask.", required: true},
		"exchange.requester.clients":        {text: "These clients."},
		"exchange.requester.public_clients": {text: "Public clients among them, with proven tokens."},
		"exchange.requester.anonymous":      {text: "Whoever holds the subject token."},
		"exchange.actor":                    {text: "none: impersonation, the result's sub is the subject alone.", fallback: "none"},
		"exchange.grant":                    {text: "What is given, at most.", required: true},
		"exchange.grant.audiences":          {text: "Audiences; all that are asked for must be among them.", required: true},
		"exchange.grant.scopes":             {text: "Scopes; of an own token only where it carries the same name, or one of from."},
		"exchange.grant.scopes.name":        {text: "The scope.", required: true},
		"exchange.grant.scopes.from":        {text: "Scopes of the subject, any of which is enough."},
		"exchange.grant.claims":             {text: "Claims that the result carries.", fallback: "those that a mapper made"},
		"exchange.grant.ttl":                {text: "The longest life of the result.", fallback: "tokens.access_ttl"},
		"exchange.grant.token_types":        {text: "Types that may be asked for; the first is the default.", fallback: "[access_token, jwt]", enum: []string{oauth.ShortAccessToken, oauth.ShortJWT, oauth.ShortIDToken}},
		"exchange.grant.outlive_subject":    {text: "The result may live longer than the subject token."},
		"exchange.grant.single_use":         {text: "Each subject token is good once, by its jti."},
	}
}

func sharedWords() map[string]word {
	return map[string]word{
		"mapper.kind":       {text: "The kind of step.", enum: mappers.Kinds(), required: true},
		"mapper.expression": {text: "CEL over claims (the upstream's) and principal (made so far)."},
		"mapper.message":    {text: "require: what the operator reads when it does not hold."},
		"mapper.from":       {text: "A claim, or a JSON pointer (RFC 6901) into one."},
		"mapper.to":         {text: "The claim that is made.", pattern: claimPattern},
		"mapper.claim":      {text: "The claim that is made.", pattern: claimPattern},
		"mapper.value":      {text: "set: the value."},
		"mapper.keep":       {text: "groups: patterns (RE2, anchored) of the groups that stay.", fallback: "all"},
		"mapper.rename":     {text: "groups: new names, before the prefix."},
		"mapper.prefix":     {text: "groups: before each name; an empty one lets this upstream speak for groups of others.", fallback: "the upstream's name and a colon"},
		"mapper.table":      {text: "lookup: values by key."},
		"mapper.default":    {text: "lookup: the value for other keys."},
		"tls.cert_file":     {text: "Certificate chain (PEM), read anew when it changes.", required: true},
		"tls.key_file":      {text: "Its private key (PEM).", required: true},
		"seal_key.id":       {text: "The key's name.", fallback: "the first 8 hex digits of its SHA-256"},
		"seal_key.key":      {text: "32 random bytes as base64 or hex; better in key_file."},
	}
}

// engineKinds are the engines that a file may name; the command line opens them.
func engineKinds() []string { return []string{"bbolt", "memory"} }

func authMethods() []string {
	return []string{oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthPrivateKeyJWT, oauth.AuthNone}
}
