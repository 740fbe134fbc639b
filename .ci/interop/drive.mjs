// Drives a running fedbroker with the tokens of real identity providers, by real client libraries, and verifies what it issues.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createLocalJWKSet, createRemoteJWKSet, decodeJwt, decodeProtectedHeader, importJWK, jwtVerify } from 'jose'
import * as client from 'openid-client'
import { accessToken, connect, denial, exchange, jwtToken } from './broker.mjs'
import { Glewlwyd } from './glewlwyd.mjs'
import { batchToken, login, opaqueToken, withdraw } from './people.mjs'
import { finish, keep, secret, step, until } from './steps.mjs'

const { BROKER_URL: issuer, PANVA_URL: panva, PANVA_PID: panvaPID, PANVA_RESOURCE: resource, WORK: work } = process.env
const run = promisify(execFile)
const orders = 'https://orders.example'
const billing = 'https://billing.example'

async function swap(config, subject, parameters) {
  const answer = await exchange(config, subject, parameters)
  keep(answer.access_token)
  return answer
}
const kid = (token) => decodeProtectedHeader(token).kid

// -------------------------------------------------------------------- our documents and our keys, as strangers read them

const gateway = await step('openid-client discovers fedbroker (OpenID discovery)', () => connect('gateway', client.ClientSecretBasic(secret('gateway.secret'))))
if (gateway === undefined) process.exit(1)
const ordersAPI = await connect('orders-api', client.ClientSecretBasic(secret('orders.secret')))
const stranger = await connect('stranger', client.ClientSecretBasic(secret('stranger.secret')))

await step('openid-client discovers fedbroker (RFC 8414), and both documents agree', async () => {
  const other = await connect('gateway', client.ClientSecretBasic(secret('gateway.secret')), 'oauth2')
  assert.deepEqual(other.serverMetadata(), gateway.serverMetadata())
})

const ourKeys = createRemoteJWKSet(new URL(gateway.serverMetadata().jwks_uri), { cooldownDuration: 0 }) // an unknown kid is looked up at once

// verified is what an API does with our token: signature, iss, aud, typ and the claims that RFC 9068 §2.2 requires.
async function verified(token, audience, algorithms = ['ES256']) {
  const { payload } = await jwtVerify(token, ourKeys, {
    issuer, audience, algorithms, typ: 'at+jwt', requiredClaims: ['exp', 'sub', 'client_id', 'iat', 'jti'],
  })
  return payload
}

// -------------------------------------------------------------------- /token, by each way to authenticate a client

const privateKey = JSON.parse(secret('gateway-key.private.jwk'))
const authentications = {
  gateway: ['client_secret_basic', () => client.ClientSecretBasic(secret('gateway.secret'))],
  'gateway-post': ['client_secret_post', () => client.ClientSecretPost(secret('gateway-post.secret'))],
  'gateway-key': ['private_key_jwt', async () => client.PrivateKeyJwt({ key: await importJWK(privateKey, 'ES256'), kid: privateKey.kid })],
}
const configs = {}
for (const [id, [method, authentication]] of Object.entries(authentications)) {
  configs[id] = await connect(id, await authentication())
  await step(`openid-client: client_credentials with ${method}; jose verifies the token`, async () => {
    const answer = await client.clientCredentialsGrant(configs[id], { scope: 'orders.read', resource: orders })
    const claims = await verified(keep(answer.access_token), orders)
    assert.deepEqual([claims.sub, claims.client_id, claims.scope], [id, id, 'orders.read'])
    assert.equal(claims.upstream, undefined)
  })
}

await step('openid-client: a wrong secret is shown as 401 invalid_client', async () => {
  const wrong = await connect('gateway', client.ClientSecretBasic('wrong'))
  const refused = await client.clientCredentialsGrant(wrong, { resource: orders }).catch((error) => error)
  assert.ok(refused instanceof client.WWWAuthenticateChallengeError, String(refused))
  assert.deepEqual([refused.status, refused.cause[0].scheme], [401, 'basic'])
  assert.equal((await refused.response.json()).error, 'invalid_client')
})

await step('jose: a token for one API is refused by another', async () => {
  const answer = await client.clientCredentialsGrant(gateway, { resource: orders })
  await assert.rejects(verified(keep(answer.access_token), billing), { code: 'ERR_JWT_CLAIM_VALIDATION_FAILED', claim: 'aud' })
})

// -------------------------------------------------------------------- oidc-provider's tokens

const firstJob = keep(await batchToken())

for (const [id, [method]] of Object.entries(authentications)) {
  await step(`oidc-provider's client token is exchanged by openid-client with ${method}; jose verifies the result`, async () => {
    const answer = await swap(configs[id], firstJob, { scope: 'orders.read' })
    assert.deepEqual([answer.issued_token_type, answer.token_type, answer.scope], [accessToken, 'bearer', 'orders.read'])
    const claims = await verified(answer.access_token, orders)
    assert.deepEqual([claims.sub, claims.client_id, claims.aud, claims.tenant], ['panva|batch', id, orders, 'panva'])
    assert.equal(claims.upstream.name, 'panva')
    assert.ok(claims.exp <= decodeJwt(firstJob).exp, 'outlives its subject')
    assert.equal(claims.act, undefined)
  })
}

await step('token type jwt is honoured on both sides', async () => {
  const answer = await swap(gateway, firstJob, { subject_token_type: jwtToken, requested_token_type: jwtToken })
  assert.equal(answer.issued_token_type, jwtToken)
  await verified(answer.access_token, orders)
})

const person = await login()
await step('a person logs in at oidc-provider (authorization code, PKCE) and their token is exchanged', async () => {
  const answer = await swap(gateway, keep(person.accessToken))
  const claims = await verified(answer.access_token, orders)
  assert.deepEqual([claims.sub, answer.scope], ['panva|ada', 'orders.read orders.write'])
})

const refusals = {
  'the person\'s ID token in place of the access token': () => exchange(gateway, keep(person.idToken), { subject_token_type: 'urn:ietf:params:oauth:token-type:id_token' }),
  'a token that oidc-provider made for another resource': async () => exchange(gateway, keep(await batchToken('https://elsewhere.example'))),
  'a token whose signature is broken': () => exchange(gateway, firstJob.replace(/[^.]{8}$/, 'AAAAAAAA')),
}
for (const [what, request] of Object.entries(refusals)) {
  await step(`openid-client shows our invalid_request: ${what}`, async () => assertDenied(await denial(request()), 'invalid_request'))
}
await step('openid-client shows our invalid_target: an audience that no rule gives', async () =>
  assertDenied(await denial(exchange(gateway, firstJob, { audience: billing })), 'invalid_target'))
await step('openid-client shows our invalid_scope: a scope beyond the rule', async () =>
  assertDenied(await denial(exchange(gateway, firstJob, { scope: 'orders.delete' })), 'invalid_scope'))
await step('openid-client shows our unauthorized_client: a client that no rule names', async () =>
  assertDenied(await denial(exchange(stranger, firstJob)), 'unauthorized_client'))

function assertDenied(error, code) {
  assert.equal(error.error, code)
  assert.equal(error.status, 400)
  assert.ok(error.error_description.length > 0, 'no description')
  assert.match(error.cause.decision_id, /^[\x21-\x7e]{16,}$/)
}

await step('an opaque token of oidc-provider is exchanged: the provider vouches for it by introspection', async () => {
  const token = keep(await opaqueToken())
  assert.ok(!token.includes('.'), 'it is no opaque token')
  const claims = await verified((await swap(gateway, token)).access_token, orders)
  assert.deepEqual([claims.sub, claims.tenant, claims.upstream.name], ['panva|ada', 'panva', 'panva'])
  assertDenied(await denial(exchange(gateway, token, { subject_token_type: jwtToken })), 'invalid_request')
  assertDenied(await denial(exchange(configs['gateway-post'], token)), 'invalid_request')
})

await step('an opaque token that oidc-provider has withdrawn, or never gave, is refused', async () => {
  const token = keep(await opaqueToken())
  await withdraw(token)
  assertDenied(await denial(exchange(gateway, token)), 'invalid_request')
  assertDenied(await denial(exchange(gateway, `${token.slice(0, -4)}AAAA`)), 'invalid_request')
})

await step('oidc-provider rotates its key: tokens under the new one are exchanged, and those under the one before still are', async () => {
  process.kill(Number(panvaPID), 'SIGHUP')
  await until('oidc-provider\'s new key', async () => {
    const { keys } = await (await fetch(`${panva}/jwks`)).json()
    return keys.length === 2 ? keys : undefined
  })
  const token = keep(await batchToken())
  assert.notEqual(kid(token), kid(firstJob))
  const claims = await verified((await swap(gateway, token)).access_token, orders)
  assert.equal(claims.sub, 'panva|batch')
  await swap(gateway, firstJob)
})

// -------------------------------------------------------------------- glewlwyd's tokens

// readyUpstreams asks the operator's API which upstreams can be verified now.
async function readyUpstreams() {
  const answer = await fetch(`http://${process.env.ADMIN_LISTEN}/v1/readiness`, { headers: { authorization: `Bearer ${secret('admin.secret')}` } })
  const { upstreams } = await answer.json()
  return Object.fromEntries(upstreams.map(({ name, ok }) => [name, ok]))
}

const lemonldap = process.env.LEMONLDAP_URL !== undefined

if (process.env.GLEWLWYD_URL) {
  const glewlwyd = new Glewlwyd({ url: process.env.GLEWLWYD_URL, resource, secret: secret('glewlwyd.secret') })
  await step('glewlwyd has no plugin yet: the broker serves, and its readiness says that this upstream is down', async () =>
    assert.deepEqual(await readyUpstreams(), { panva: true, beta: true, glewlwyd: false, keycloak: false, lemonldap, robot: true }))
  await step('glewlwyd is set up by its administration API', () => glewlwyd.setUp())
  const before = keep(await glewlwyd.clientToken())
  await step('glewlwyd\'s client token is exchanged; jose verifies the result', async () => {
    const answer = await swap(gateway, before)
    const claims = await verified(answer.access_token, orders)
    assert.deepEqual([claims.sub, claims.workload, claims.upstream.name, answer.scope], ['glewlwyd|nightly', 'nightly', 'glewlwyd', 'orders.read'])
    assert.deepEqual(await readyUpstreams(), { panva: true, beta: true, glewlwyd: true, keycloak: false, lemonldap, robot: true })
  })
  await step('a person\'s token of glewlwyd is exchanged, by the requester that its audience is bound to', async () => {
    const token = keep(await glewlwyd.personToken())
    const claims = await verified((await swap(gateway, token)).access_token, orders)
    assert.equal(claims.sub, `glewlwyd|${decodeJwt(token).sub}`)
  })
  await step('glewlwyd replaces its key: tokens under the new one are exchanged', async () => {
    await glewlwyd.rotate()
    const token = keep(await glewlwyd.clientToken())
    assert.notEqual(kid(token), kid(before))
    await swap(gateway, token)
  })
  await step('a token under the key that glewlwyd withdrew is refused', async () =>
    assertDenied(await denial(exchange(gateway, before)), 'invalid_request'))
}

// -------------------------------------------------------------------- our own tokens: one hop further, introspection, revocation

const held = (await swap(gateway, firstJob, { scope: 'orders.read' })).access_token

await step('our token is exchanged one hop further, with less scope under another name', async () => {
  const answer = await swap(ordersAPI, held, { audience: billing })
  const claims = await verified(answer.access_token, billing)
  assert.deepEqual([claims.sub, claims.client_id, answer.scope], ['panva|batch', 'orders-api', 'billing.read'])
  assert.ok(claims.exp <= decodeJwt(held).exp, 'outlives its subject')
})

await step('openid-client shows our invalid_request: the same hop by a client that the rule names, but the token is not for', async () =>
  assertDenied(await denial(exchange(configs['gateway-post'], held, { audience: billing })), 'invalid_request'))

await step('openid-client: introspection tells the API that the token is for, and the client it was given to', async () => {
  for (const config of [ordersAPI, gateway]) {
    const answer = await client.tokenIntrospection(config, held)
    assert.equal(answer.active, true)
    assert.deepEqual([answer.iss, answer.sub, answer.client_id, answer.scope], [issuer, 'panva|batch', 'gateway', 'orders.read'])
    assert.equal(answer.exp, decodeJwt(held).exp)
  }
})

await step('openid-client: introspection tells a stranger nothing', async () =>
  assert.deepEqual(await client.tokenIntrospection(stranger, held), { active: false }))

await step('openid-client shows our invalid_request: a revocation by another client (RFC 7009 §2.1), which changes nothing', async () => {
  assertDenied(await denial(client.tokenRevocation(stranger, held)), 'invalid_request')
  assert.equal((await client.tokenIntrospection(ordersAPI, held)).active, true)
})

await step('openid-client: after revocation the token and what was made of it are dead', async () => {
  const child = (await swap(ordersAPI, held, { audience: billing })).access_token
  await client.tokenRevocation(gateway, held)
  assert.deepEqual(await client.tokenIntrospection(ordersAPI, held), { active: false })
  assert.deepEqual(await client.tokenIntrospection(ordersAPI, child), { active: false })
  assertDenied(await denial(exchange(ordersAPI, held, { audience: billing })), 'invalid_request')
})

await step('openid-client: revoking what is not a token is fine (RFC 7009 §2.2)', () => client.tokenRevocation(gateway, 'unknown'))

// -------------------------------------------------------------------- our own keys

await step('an operator replaces a compromised signing key: jose finds the new one, and no longer the old one', async () => {
  const old = (await client.clientCredentialsGrant(gateway, { resource: orders })).access_token
  await verified(keep(old), orders)
  await run(process.env.FEDBROKER, ['keys', 'rotate', '--compromised', kid(old), '--config', join(work, 'fedbroker.yaml')])
  const fresh = (await client.clientCredentialsGrant(gateway, { resource: orders })).access_token
  assert.notEqual(kid(keep(fresh)), kid(old))
  await verified(fresh, orders)
  await assert.rejects(verified(old, orders), { code: 'ERR_JWKS_NO_MATCHING_KEY' })
  assert.deepEqual(await client.tokenIntrospection(gateway, old), { active: false })
})

await step('jose verifies with the key set alone: it holds no private member', async () => {
  const set = await (await fetch(gateway.serverMetadata().jwks_uri)).json()
  assert.ok(set.keys.length >= 2)
  for (const key of set.keys) assert.deepEqual(Object.keys(key).filter((member) => ['d', 'p', 'q', 'k'].includes(member)), [])
  const { access_token: token } = await client.clientCredentialsGrant(gateway, { resource: orders })
  await jwtVerify(keep(token), createLocalJWKSet(set), { issuer, audience: orders })
})

finish()
