// A person's login at one broker, taken to another company's (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant), by npm oauth4webapi: the app asks the broker that the person is
// signed in at for an assertion, and redeems it at the partner's (RFC 7523).
import assert from 'node:assert/strict'
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import * as oauth from 'oauth4webapi'
import { apps, issuer } from './app.mjs'
import { accessToken, exchangeGrant, jwtToken } from './broker.mjs'
import { Browser } from './browser.mjs'
import { finish, keep, secret, step } from './steps.mjs'

const partner = process.env.PARTNER_URL
const files = 'https://files.example'
const bearerGrant = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const idToken = 'urn:ietf:params:oauth:token-type:id_token'
const idJAG = 'urn:ietf:params:oauth:token-type:id-jag'
const insecure = { [oauth.allowInsecureRequests]: true }

async function server(url) {
  return oauth.processDiscoveryResponse(new URL(url), await oauth.discoveryRequest(new URL(url), insecure))
}
const [home, away] = [await server(issuer), await server(partner)]
const keys = { [issuer]: createRemoteJWKSet(new URL(home.jwks_uri)), [partner]: createRemoteJWKSet(new URL(away.jwks_uri)) }

// granted asks one of the two for a token. An error is thrown as oauth4webapi has it: its code is in error.
async function granted(as, id, word, grant, form) {
  const client = { client_id: id }
  const response = await oauth.genericTokenEndpointRequest(as, client, oauth.ClientSecretBasic(word), grant, form, insecure)
  const answer = await oauth.processGenericTokenEndpointResponse(as, client, response, { recognizedTokenTypes: { n_a: () => {} } })
  keep(answer.access_token)
  return answer
}
const asked = (form) => granted(home, 'app-basic', secret('app-basic.secret'), exchangeGrant, {
  requested_token_type: idJAG, audience: partner, scope: 'files.read', subject_token: login.id_token, subject_token_type: idToken, ...form,
})
const redeemed = (assertion, { id = 'wiki', ...form } = {}) => granted(away, id, secret(`partner/${id}.secret`), bearerGrant, { assertion, resource: files, ...form })

async function refused(promise, code) {
  const error = await promise.then(() => assert.fail('it was granted'), (reason) => reason)
  assert.equal(error.error, code, String(error))
}

const login = await apps.basic.login(new Browser(), { idp_hint: 'panva' })

const assertion = await step('ID-JAG: an app gets one for a person\'s login: short, for the partner alone, in its name there', async () => {
  const answer = await asked({ resource: files })
  assert.deepEqual([answer.token_type, answer.issued_token_type, answer.scope, answer.refresh_token], ['n_a', idJAG, 'files.read', undefined])
  const { payload } = await jwtVerify(answer.access_token, keys[issuer], { issuer, audience: partner, typ: 'oauth-id-jag+jwt', requiredClaims: ['jti', 'exp', 'iat', 'auth_time'] })
  assert.deepEqual([payload.sub, payload.client_id, payload.scope, payload.resource], ['panva|ada', 'wiki', 'files.read', files])
  assert.ok(payload.exp - payload.iat <= 300)
  assert.deepEqual([payload.name, payload.email, payload.tenant, payload.groups], [undefined, undefined, undefined, undefined])
  return answer.access_token
})

if (assertion !== undefined) {
  await step('ID-JAG: the partner gives a token for it, with its scope and no refresh token', async () => {
    const answer = await redeemed(assertion)
    const { payload } = await jwtVerify(answer.access_token, keys[partner], { issuer: partner, audience: files, typ: 'at+jwt' })
    assert.deepEqual([payload.sub, payload.client_id, answer.scope, answer.refresh_token], ['company|panva|ada', 'wiki', 'files.read', undefined])
  })
  await step('ID-JAG: it is good once', () => refused(redeemed(assertion), 'invalid_grant'))
}
await step('ID-JAG: it is nothing in the hands of another client of the partner', async () => refused(redeemed((await asked()).access_token, { id: 'forum' }), 'invalid_grant'))
await step('ID-JAG: it goes no further than its resource, and than its scope', async () => {
  await refused(redeemed((await asked({ resource: files })).access_token, { resource: 'https://mail.example' }), 'invalid_target')
  await refused(redeemed((await asked()).access_token, { scope: 'files.write' }), 'invalid_scope')
})
await step('ID-JAG: it is no subject token, at the partner\'s or at home', async () => {
  const token = (await asked()).access_token
  const form = { subject_token: token, subject_token_type: jwtToken, audience: files }
  await refused(granted(away, 'wiki', secret('partner/wiki.secret'), exchangeGrant, form), 'invalid_request')
  await refused(granted(home, 'app-basic', secret('app-basic.secret'), exchangeGrant, { ...form, audience: 'https://orders.example' }), 'invalid_request')
})
await step('ID-JAG: it is made of a login at this very app, for a partner that knows the app', async () => {
  await refused(asked({ subject_token: login.access_token, subject_token_type: accessToken }), 'invalid_request')
  const other = await apps.post.login(new Browser(), { idp_hint: 'panva' })
  await refused(asked({ subject_token: other.id_token }), 'invalid_request')
  await refused(asked({ audience: 'https://stranger.example' }), 'invalid_target')
  await refused(asked({ scope: 'files.write' }), 'invalid_scope')
})
await step('ID-JAG: its header and claims are a closed list', async () => {
  const { access_token: token } = await asked()
  assert.deepEqual(Object.keys(decodeProtectedHeader(token)).sort(), ['alg', 'kid', 'typ'])
  assert.deepEqual(Object.keys(decodeJwt(token)).sort(), ['acr', 'amr', 'aud', 'auth_time', 'client_id', 'exp', 'iat', 'iss', 'jti', 'scope', 'sub'])
})

finish()
