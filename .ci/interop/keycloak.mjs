// Keycloak as the identity provider: a person's login, refresh and logout; a job's token exchanged; rotation and withdrawal of keys under load.
import assert from 'node:assert/strict'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import * as client from 'openid-client'
import { accessClaims, apps, identityClaims, issuer, keycloak, signIn, words } from './app.mjs'
import { accessToken, connect, denial, exchange, exchangeGrant } from './broker.mjs'
import { Browser } from './browser.mjs'
import { job, person } from './realm.mjs'
import { finish, keep, secret, step } from './steps.mjs'

const orders = 'https://orders.example'
const gateway = await connect('gateway', client.ClientSecretBasic(secret('gateway.secret')))
const kid = (token) => decodeProtectedHeader(token).kid
// once is one exchange that is not repeated, whatever the answer.
const once = (token) => client.genericGrantRequest(gateway, exchangeGrant, { subject_token: token, subject_token_type: accessToken, audience: orders })

await step('Keycloak\'s realm is set up by its administration API', () => keycloak.setUp())

// -------------------------------------------------------------------- a job. Its exchange waits until the broker has asked for the realm's keys again

const before = keep(await keycloak.jobToken())
await step('Keycloak\'s client token is exchanged; jose verifies the result', async () => {
  const answer = await exchange(gateway, before)
  const claims = await accessClaims(keep(answer.access_token), orders)
  assert.deepEqual([claims.sub, claims.upstream.name, claims.workload], [`keycloak|${decodeJwt(before).sub}`, 'keycloak', job])
  assert.ok(claims.exp <= decodeJwt(before).exp, 'outlives its subject')
})

// -------------------------------------------------------------------- a person

const browser = new Browser()
const tokens = await step('a person logs in at Keycloak: PKCE, iss, claims', async () => {
  const answer = await apps.basic.login(browser, { idp_hint: 'keycloak' })
  const claims = await identityClaims(answer.id_token, 'app-basic')
  assert.deepEqual([claims.name, claims.email, claims.email_verified], ['Kay McNulty', person.email, true])
  assert.match(claims.sub, /^keycloak\|[0-9a-f-]{36}$/)
  assert.equal(claims.upstream.iss, keycloak.issuer)
  return answer
})

if (tokens) {
  const { sub } = decodeJwt(tokens.id_token)
  await step('userinfo and refresh after a login at Keycloak', async () => {
    assert.equal((await client.fetchUserInfo(apps.basic.config, tokens.access_token, sub)).email, person.email)
    const next = await apps.basic.refresh(tokens.refresh_token)
    assert.deepEqual([decodeJwt(next.id_token).sub, (await accessClaims(next.access_token)).sub], [sub, sub])
  })
  await step('logout after a login at Keycloak: back at the app, and nobody is signed in', async () => {
    const page = await browser.open(client.buildEndSessionUrl(apps.basic.config, {
      id_token_hint: tokens.id_token, post_logout_redirect_uri: 'https://basic.example/', state: 'bye',
    }))
    assert.equal(page.url.href, 'https://basic.example/?state=bye', words(page))
    const attempt = await apps.basic.begin({ prompt: 'none' })
    assert.equal(await apps.basic.refused(attempt, await browser.open(attempt.url)), 'login_required')
  })
}

// -------------------------------------------------------------------- keys that change

await step('Keycloak rotates its key under load: every token of the key before is exchanged, and so are those of the new one', async () => {
  let [running, exchanged] = [true, 0]
  const load = Array.from({ length: 4 }, async () => {
    for (; running; exchanged++) keep((await once(before)).access_token)
  })
  try {
    await keycloak.rotate()
    const after = keep(await keycloak.jobToken())
    assert.notEqual(kid(after), kid(before))
    keep((await exchange(gateway, after)).access_token)
  } finally {
    running = false
    await Promise.all(load)
  }
  assert.ok(exchanged > 20, `only ${exchanged} exchanges`)
  await signedIn()
})

await step('Keycloak withdraws a key: what it signed is refused after the next refresh, and the newest key\'s tokens pass', async () => {
  await keycloak.withdraw(kid(before))
  await keycloak.rotate()
  const after = keep(await keycloak.jobToken())
  keep((await exchange(gateway, after)).access_token) // an unknown key makes the broker look, at most once a minute
  assert.equal((await denial(exchange(gateway, before))).error, 'invalid_request')
  keep((await once(after)).access_token)
})

async function signedIn() {
  const { id_token: token } = await apps.basic.login(new Browser(), { idp_hint: 'keycloak' })
  assert.equal((await identityClaims(token, 'app-basic')).iss, issuer)
}

finish()
