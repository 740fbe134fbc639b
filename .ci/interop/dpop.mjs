// Tokens that are bound to a key (RFC 9449), by libraries that know it: openid-client as app and service, oauth4webapi as the API, dpop for proofs made by hand. `dpop.mjs required`
// drives a broker that asks every proof for a nonce, `dpop.mjs optional` one that does not.
import assert from 'node:assert/strict'
import * as proofs from 'dpop'
import { decodeJwt } from 'jose'
import * as oauth from 'oauth4webapi'
import * as client from 'openid-client'
import { accessClaims, App, issuer, signIn } from './app.mjs'
import { accessToken, connect, denial, exchangeGrant } from './broker.mjs'
import { Browser } from './browser.mjs'
import { finish, keep, secret, step, until } from './steps.mjs'

const required = process.argv[2] === 'required'
const mode = required ? 'nonces required' : 'nonces at will'
const orders = 'https://orders.example'
const basic = (id) => client.ClientSecretBasic(secret(`${id}.secret`))
const title = (what) => `DPoP, ${mode}: ${what}`

// holder is one key in the hands of one client.
async function holder(id, authentication, ...app) {
  const [config, pair] = [await connect(id, authentication), await client.randomDPoPKeyPair()]
  const DPoP = client.getDPoPHandle(config, pair)
  return { id, config, pair, DPoP, jkt: await DPoP.calculateThumbprint(), app: app.length ? new App(config, ...app, { DPoP }) : undefined }
}

const gateway = await holder('gateway', basic('gateway'))
const confidential = await holder('app-dpop', basic('app-dpop'), 'https://dpop.example/callback', 'openid profile offline_access')
const publicApp = await holder('spa-dpop', client.None(), 'https://spa-dpop.example/callback', 'openid offline_access')
const { token_endpoint: endpoint } = gateway.config.serverMetadata()

// post sends a form with a proof made by hand: a nonce only if one is given.
async function post(form, { pair, credentials, nonce, token, proof }) {
  const headers = { dpop: proof ?? keep(await proofs.generateProof(pair, endpoint, 'POST', nonce, token)) }
  if (credentials) headers.authorization = `Basic ${btoa(credentials)}`
  const answer = await fetch(endpoint, { method: 'POST', headers, body: new URLSearchParams(form) })
  return { status: answer.status, nonce: answer.headers.get('dpop-nonce') ?? undefined, proof: headers.dpop, ...(await answer.json()) }
}
const own = { grant_type: 'client_credentials', resource: orders }
const gatewayCredentials = `gateway:${secret('gateway.secret')}`

// withNonce is post by a client that knows nonces.
async function withNonce(form, how) {
  const first = await post(form, how)
  return first.error === 'use_dpop_nonce' ? post(form, { ...how, nonce: first.nonce }) : first
}

// taken is what an API does with a bound token and the proof that comes with it (RFC 9449 §7.1).
async function taken(token, { pair, scheme = 'DPoP' }) {
  const url = `${orders}/list`
  const headers = { authorization: `${scheme} ${token}` }
  if (scheme === 'DPoP') headers.dpop = await proofs.generateProof(pair, url, 'GET', undefined, token)
  return oauth.validateJwtAccessToken(gateway.config.serverMetadata(), new Request(url, { headers }), orders, { requireDPoP: true, [oauth.allowInsecureRequests]: true })
}

// -------------------------------------------------------------------- nonces, and proofs that are no good

if (required) {
  await step(title('a proof without a nonce is told to carry one, and with it is good'), async () => {
    const refused = await post(own, { pair: gateway.pair, credentials: gatewayCredentials })
    assert.deepEqual([refused.status, refused.error, typeof refused.nonce], [400, 'use_dpop_nonce', 'string'])
    const answer = await post(own, { pair: gateway.pair, credentials: gatewayCredentials, nonce: refused.nonce })
    assert.deepEqual([answer.status, answer.token_type, typeof answer.nonce], [200, 'DPoP', 'string'])
    keep(answer.access_token)
  })
  await step(title('a nonce that nobody gave is refused like none'), async () =>
    assert.equal((await post(own, { pair: gateway.pair, credentials: gatewayCredentials, nonce: 'made-up' })).error, 'use_dpop_nonce'))
} else {
  await step(title('once the broker has been up for a while, a proof needs no nonce'), () => until('that', async () => {
    const { status, access_token: token } = await post(own, { pair: gateway.pair, credentials: gatewayCredentials })
    if (token) keep(token)
    return status === 200 || undefined
  }, 60))
}

await step(title('a proof is good once'), async () => {
  const first = await withNonce(own, { pair: gateway.pair, credentials: gatewayCredentials })
  assert.equal(first.status, 200)
  const again = await post(own, { proof: first.proof, credentials: gatewayCredentials })
  assert.deepEqual([again.status, again.error], [400, 'invalid_dpop_proof'])
})

// -------------------------------------------------------------------- a service

await step(title('openid-client: client_credentials; oauth4webapi takes the token with a proof of its key'), async () => {
  const answer = await client.clientCredentialsGrant(gateway.config, { scope: 'orders.read', resource: orders }, { DPoP: gateway.DPoP })
  assert.equal(answer.token_type, 'dpop')
  const claims = await taken(keep(answer.access_token), gateway)
  assert.deepEqual([claims.sub, claims.cnf], ['gateway', { jkt: gateway.jkt }])
  await assert.rejects(taken(answer.access_token, confidential), /DPoP|confirmation/)
  await assert.rejects(taken(answer.access_token, { scheme: 'Bearer' }))
  const { active, cnf, token_type: type } = await client.tokenIntrospection(gateway.config, answer.access_token)
  assert.deepEqual([active, cnf, type], [true, { jkt: gateway.jkt }, 'DPoP'])
})

await step(title('openid-client: without a proof the same client gets a bearer token, which is bound to nothing'), async () => {
  const answer = await client.clientCredentialsGrant(gateway.config, { resource: orders })
  assert.deepEqual([answer.token_type, decodeJwt(keep(answer.access_token)).cnf], ['bearer', undefined])
})

// -------------------------------------------------------------------- people

// userinfo asks as openid-client does, with a key or without.
const userinfo = ({ config }, token, sub, options) => client.fetchUserInfo(config, token, sub, options)
const unauthorized = async (promise) => (await promise.then(() => assert.fail('it was answered'), (error) => error)).status

for (const [what, held] of Object.entries({ 'a confidential app': confidential, 'a public app': publicApp })) {
  const { app, jkt, DPoP } = held
  const other = await holder(held.id, held.id === 'app-dpop' ? basic('app-dpop') : client.None())

  const tokens = await step(title(`${what} logs a person in; code, access token and userinfo are held by its key`), async () => {
    const browser = new Browser()
    const attempt = await app.begin({ idp_hint: 'panva', dpop_jkt: jkt })
    const answer = await app.finish(attempt, await signIn(browser, await browser.open(attempt.url)))
    assert.equal(answer.token_type, 'dpop')
    assert.deepEqual((await accessClaims(answer.access_token)).cnf, { jkt })
    assert.equal((await userinfo(held, answer.access_token, 'panva|ada', { DPoP })).sub, 'panva|ada')
    return answer
  })
  if (tokens === undefined) continue

  await step(title(`${what}: userinfo is refused by another key, and as a bearer token`), async () => {
    assert.equal(await unauthorized(userinfo(other, tokens.access_token, 'panva|ada', { DPoP: other.DPoP })), 401)
    const answer = await fetch(held.config.serverMetadata().userinfo_endpoint, { headers: { authorization: `Bearer ${tokens.access_token}` } })
    assert.equal(answer.status, 401)
    assert.match(answer.headers.get('www-authenticate'), /DPoP .*algs="/)
  })
  await step(title(`${what}: a code that was asked for with one key is not redeemed with another, and still good for its own`), async () => {
    const browser = new Browser()
    const attempt = await app.begin({ idp_hint: 'panva', dpop_jkt: jkt })
    const page = await signIn(browser, await browser.open(attempt.url))
    const thief = new App(held.config, app.redirectURI, app.scope, { DPoP: other.DPoP })
    assert.equal((await denial(thief.finish(attempt, page))).error, 'invalid_grant')
    await app.finish(attempt, page)
  })
  await step(title(`${what}: refresh gives a token bound to the key again; without a proof there is none`), async () => {
    const next = await app.refresh(tokens.refresh_token)
    assert.deepEqual([next.token_type, decodeJwt(next.access_token).cnf], ['dpop', { jkt }])
    const unproven = await denial(client.refreshTokenGrant(held.config, next.refresh_token ?? tokens.refresh_token))
    assert.equal(unproven.error, held === publicApp ? 'invalid_grant' : 'invalid_dpop_proof')
    tokens.refresh_token = next.refresh_token ?? tokens.refresh_token
    tokens.access_token = next.access_token
  })
  if (held === publicApp) {
    await step(title(`${what}: its refresh token stays the same, and is nothing to another key`), async () => {
      const next = await app.refresh(tokens.refresh_token)
      assert.ok([undefined, tokens.refresh_token].includes(next.refresh_token), 'it rotated')
      assert.equal((await denial(client.refreshTokenGrant(other.config, tokens.refresh_token, undefined, { DPoP: other.DPoP }))).error, 'invalid_grant')
      await app.refresh(tokens.refresh_token)
    })
  }
  await step(title(`${what}: the login's token is exchanged by who proves its key, and what comes of it is bound, too`), async () => {
    const form = { grant_type: exchangeGrant, subject_token: tokens.access_token, subject_token_type: accessToken, audience: orders }
    const credentials = held.id === 'app-dpop' ? `app-dpop:${secret('app-dpop.secret')}` : undefined
    if (!credentials) form.client_id = held.id
    const answer = await withNonce(form, { pair: held.pair, credentials, token: tokens.access_token })
    assert.deepEqual([answer.error, answer.token_type, answer.scope], [undefined, 'DPoP', 'orders.read'])
    const claims = await taken(keep(answer.access_token), held)
    assert.deepEqual([claims.sub, claims.client_id, claims.cnf], ['panva|ada', held.id, { jkt }])
    const stolen = await withNonce(form, { pair: other.pair, credentials, token: tokens.access_token })
    assert.deepEqual([stolen.status, stolen.error], [400, 'invalid_request'])
    const unproven = await withNonce(form, { pair: held.pair, credentials }) // no ath
    assert.deepEqual([unproven.status, unproven.error], [400, 'invalid_request'])
  })
}

finish()
