// People log in at real identity providers and reach apps on openid-client through a running fedbroker.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import * as client from 'openid-client'
import { accessClaims, apps, beta, glewlwyd, identityClaims, issuer, origin, panva, signIn } from './app.mjs'
import { denial, exchange } from './broker.mjs'
import { Browser } from './browser.mjs'
import { finish, step, until } from './steps.mjs'

const run = promisify(execFile)
const graceSeconds = 2 // tokens.refresh_grace of fedbroker.yaml
const seconds = () => Math.floor(Date.now() / 1000)

await step('openid-client: discovery says what a login needs, and nothing of implicit, plain or none', () => {
  const about = apps.basic.config.serverMetadata()
  for (const name of ['authorization_endpoint', 'token_endpoint', 'userinfo_endpoint', 'end_session_endpoint', 'jwks_uri']) assert.ok(about[name].startsWith(issuer), name)
  assert.deepEqual([about.response_types_supported, about.code_challenge_methods_supported], [['code'], ['S256']])
  assert.deepEqual([...about.response_modes_supported].sort(), ['form_post', 'query'])
  assert.ok(about.id_token_signing_alg_values_supported.includes('RS256') && !about.id_token_signing_alg_values_supported.includes('none'))
  assert.equal(about.authorization_response_iss_parameter_supported, true)
})

// -------------------------------------------------------------------- a login at oidc-provider

const ada = new Browser()
const began = seconds()
const first = await step('a person logs in at oidc-provider: code, PKCE, state, nonce, iss; userinfo merged; claims mapped', async () => {
  const tokens = await apps.basic.login(ada, { idp_hint: 'panva' })
  assert.ok(ada.went(panva))
  const claims = await identityClaims(tokens.id_token, 'app-basic')
  assert.equal(claims.sub, 'panva|ada')
  assert.deepEqual([claims.name, claims.email, claims.email_verified], ['Ada Lovelace', 'ada@panva.example', true])
  assert.deepEqual(claims.groups, ['panva:eng-orders', 'panva:staff'])
  assert.deepEqual([claims.acr, claims.amr], ['urn:fedbroker:2fa', ['pwd', 'otp']])
  assert.deepEqual(claims.upstream, { name: 'panva', iss: panva, sub: 'ada' })
  assert.ok(claims.auth_time >= began - 1 && claims.auth_time <= seconds(), 'auth_time')
  assert.ok(claims.at_hash && claims.sid && claims.tenant === undefined)
  return tokens
})
if (first === undefined) process.exit(1)

await step('jose: the access token is one of RFC 9068, for fedbroker itself, and names no profile', async () => {
  const claims = await accessClaims(first.access_token)
  assert.deepEqual([claims.aud, claims.client_id, claims.sub], [issuer, 'app-basic', 'panva|ada'])
  assert.deepEqual(claims.scope.split(' ').sort(), ['email', 'groups', 'offline_access', 'openid', 'profile'])
  assert.equal(claims.auth_time, decodeJwt(first.id_token).auth_time)
  for (const name of ['name', 'email', 'groups', 'nonce']) assert.equal(claims[name], undefined, name)
})

await step('openid-client: userinfo by GET, and the same by POST', async () => {
  const answer = await client.fetchUserInfo(apps.basic.config, first.access_token, 'panva|ada')
  assert.deepEqual([answer.name, answer.given_name, answer.email, answer.email_verified], ['Ada Lovelace', 'Ada', 'ada@panva.example', true])
  assert.deepEqual(answer.groups, ['panva:eng-orders', 'panva:staff'])
  const posted = await client.fetchProtectedResource(apps.basic.config, first.access_token, new URL(apps.basic.config.serverMetadata().userinfo_endpoint), 'POST')
  assert.deepEqual(await posted.json(), answer)
})

await step('openid-client: userinfo refuses an ID token in place of an access token', async () => {
  const error = await client.fetchUserInfo(apps.basic.config, first.id_token, 'panva|ada').catch((reason) => reason)
  assert.ok(error instanceof client.WWWAuthenticateChallengeError, String(error))
  assert.deepEqual([error.status, error.cause[0].parameters.error], [401, 'invalid_token'])
})

await step('the login\'s access token is exchanged for the API\'s by its own app; jose verifies the result', async () => {
  const answer = await exchange(apps.basic.config, first.access_token)
  const claims = await accessClaims(answer.access_token, 'https://orders.example')
  assert.deepEqual([claims.sub, claims.client_id, answer.scope, claims.upstream.name], ['panva|ada', 'app-basic', 'orders.read', 'panva'])
  assert.equal(claims.auth_time, decodeJwt(first.access_token).auth_time)
})

// -------------------------------------------------------------------- single sign-on

await step('a second app: no second login at the provider, the same session, its own audience, no refresh token of another app', async () => {
  const mark = ada.visited.length
  const tokens = await apps.post.login(ada)
  assert.ok(!ada.went(panva, mark), 'the person was sent to the provider again')
  const claims = await identityClaims(tokens.id_token, 'app-post')
  const before = decodeJwt(first.id_token)
  assert.deepEqual([claims.sid, claims.auth_time, claims.sub], [before.sid, before.auth_time, before.sub])
  assert.deepEqual([claims.email, claims.upstream], [undefined, { name: 'panva' }])
})

await step('prompt=none: a code where the person is signed in, login_required where not', async () => {
  const there = await apps.basic.login(ada, { prompt: 'none' })
  assert.equal(decodeJwt(there.id_token).sid, decodeJwt(first.id_token).sid)
  const browser = new Browser()
  const attempt = await apps.basic.begin({ prompt: 'none', idp_hint: 'panva' })
  assert.equal(await apps.basic.refused(attempt, await browser.open(attempt.url)), 'login_required')
  assert.ok(!browser.went(panva))
})

await step('prompt=login and max_age: the provider asks again, and auth_time proves it', async () => {
  await pause(1100) // auth_time counts whole seconds
  for (const parameters of [{ prompt: 'login' }, { max_age: '0' }]) {
    const [mark, since] = [ada.visited.length, seconds()]
    const tokens = await apps.basic.login(ada, { idp_hint: 'panva', ...parameters })
    assert.ok(ada.went(panva, mark), 'the provider was not asked')
    assert.ok(decodeJwt(tokens.id_token).auth_time >= since - 1, JSON.stringify(parameters))
  }
})

await step('the answer by form_post', async () => {
  const attempt = await apps.basic.begin({ response_mode: 'form_post' })
  const page = await signIn(ada, await ada.open(attempt.url))
  assert.equal(page.init?.method, 'POST')
  await apps.basic.finish(attempt, page)
})

await step('the request by POST', async () => {
  const attempt = await apps.basic.begin()
  const page = await ada.open(`${attempt.url.origin}${attempt.url.pathname}`, { method: 'POST', body: attempt.url.searchParams })
  await apps.basic.finish(attempt, await signIn(ada, page))
})

// -------------------------------------------------------------------- the second provider, the chooser, the other apps

await step('the chooser names each provider once and needs no script; its link leads to the second oidc-provider: private_key_jwt, form_post, claims of the ID token', async () => {
  const browser = new Browser()
  const attempt = await apps.basic.begin()
  const page = await browser.open(attempt.url)
  assert.deepEqual([page.status, page.url.origin], [200, origin])
  assert.doesNotMatch(page.html, /<script/i)
  const hints = page.links.map((link) => link.searchParams.get('idp_hint')).filter(Boolean).sort()
  assert.deepEqual(hints, ['beta', 'glewlwyd', 'keycloak', 'lemonldap', 'panva'])
  for (const name of ['Panva &amp; Partners', 'Beta Works', 'Glewlwyd', 'Keycloak', 'lemonldap-ng']) assert.equal(page.html.split(name).length - 1, 1, name)
  const link = page.links.find((href) => href.searchParams.get('idp_hint') === 'beta')
  const tokens = await apps.basic.finish(attempt, await signIn(browser, await browser.open(link)))
  assert.ok(browser.visited.some((url) => url.pathname.endsWith('/callback/beta') && !url.search), 'not answered by form_post')
  const claims = await identityClaims(tokens.id_token, 'app-basic')
  assert.deepEqual([claims.sub, claims.email, claims.groups], ['beta|ada', 'ada@beta.example', ['beta:orders']])
  assert.equal(claims.acr, undefined, 'an acr that is not mapped')
})

await step('an e-mail address typed at the chooser, or as login_hint, leads to the provider of its domain', async () => {
  const browser = new Browser()
  const attempt = await apps.basic.begin()
  const page = await browser.open(attempt.url)
  const typed = await browser.submit(page.forms.find(({ fields }) => fields.some(([name]) => name === 'email')), { email: 'someone@BETA.example' })
  assert.equal(typed.url.origin, beta)
  const tokens = await apps.basic.finish(attempt, await signIn(browser, typed))
  assert.equal(decodeJwt(tokens.id_token).sub, 'beta|ada')
  const hinted = await apps.basic.begin({ login_hint: 'someone@panva.example' })
  assert.equal((await new Browser().open(hinted.url)).url.origin, panva)
})

await step('an e-mail address that the provider may not vouch for is issued as unverified, and a name with markup arrives as it is', async () => {
  const tokens = await apps.basic.login(new Browser(), { idp_hint: 'panva' }, { login: 'ben' })
  const claims = decodeJwt(tokens.id_token)
  assert.deepEqual([claims.sub, claims.email, claims.email_verified, claims.name], ['panva|ben', 'ben@elsewhere.example', false, 'Ben <b>Bold</b>'])
})

await step('an app by private_key_jwt, with RS256 ID tokens and a mapper of its own', async () => {
  const tokens = await apps.key.login(ada)
  assert.equal(decodeProtectedHeader(tokens.id_token).alg, 'RS256')
  await identityClaims(tokens.id_token, 'app-key', ['RS256'])
  const answer = await client.fetchUserInfo(apps.key.config, tokens.access_token, 'panva|ada')
  assert.deepEqual([answer.realm, answer.tenant, answer.name, answer.email], ['panva', undefined, undefined, 'ada@panva.example'])
  assert.equal(tokens.refresh_token, undefined)
})

await step('an essential acr that the provider proves is met; one that it does not prove is told as unmet; acr_values alone refuse nobody', async () => {
  const claims = JSON.stringify({ id_token: { acr: { essential: true, values: ['urn:fedbroker:2fa'] } } })
  const met = await apps.basic.login(new Browser(), { idp_hint: 'panva', claims })
  assert.equal(decodeJwt(met.id_token).acr, 'urn:fedbroker:2fa')
  const browser = new Browser()
  const attempt = await apps.basic.begin({ idp_hint: 'beta', claims })
  assert.equal(await apps.basic.refused(attempt, await signIn(browser, await browser.open(attempt.url))), 'unmet_authentication_requirements')
  const asked = await apps.basic.login(new Browser(), { idp_hint: 'beta', acr_values: 'urn:fedbroker:2fa' })
  assert.equal(decodeJwt(asked.id_token).acr, undefined)
})

await step('id_token_hint: the person who is signed in passes, another\'s hint asks for a login', async () => {
  await apps.basic.login(ada, { prompt: 'none', id_token_hint: first.id_token })
  const ben = new Browser()
  await apps.basic.login(ben, { idp_hint: 'panva' }, { login: 'ben' })
  const attempt = await apps.basic.begin({ prompt: 'none', id_token_hint: first.id_token })
  assert.equal(await apps.basic.refused(attempt, await ben.open(attempt.url)), 'login_required')
})

await step('a login for a resource (RFC 8707): its access token is the API\'s, and not for userinfo', async () => {
  const tokens = await apps.key.login(ada, { resource: 'https://orders.example', scope: 'openid orders.read' })
  const claims = await accessClaims(tokens.access_token, 'https://orders.example')
  assert.deepEqual([claims.aud, claims.sub, claims.client_id], ['https://orders.example', 'panva|ada', 'app-key'])
  assert.ok(claims.scope.split(' ').includes('orders.read'))
  const error = await client.fetchUserInfo(apps.key.config, tokens.access_token, 'panva|ada').catch((reason) => reason)
  assert.ok(error instanceof client.WWWAuthenticateChallengeError && [401, 403].includes(error.status), String(error))
})

if (glewlwyd) {
  await step('an app that lets in only some providers does not take the session of another', async () => {
    const browser = new Browser()
    await apps.basic.login(browser, { idp_hint: 'glewlwyd' })
    const attempt = await apps.post.begin({ prompt: 'none' })
    assert.match(await apps.post.refused(attempt, await browser.open(attempt.url)), /^(login|interaction)_required$/)
  })

  await step('a person logs in at glewlwyd: PKCE, iss, userinfo; refresh; its auth_time of 0 is no proof of a fresh login', async () => {
    const browser = new Browser()
    const tokens = await apps.basic.login(browser, { login_hint: 'grace@glewlwyd.example' })
    const claims = await identityClaims(tokens.id_token, 'app-basic')
    assert.match(claims.sub, /^glewlwyd\|[A-Za-z0-9]{32}$/)
    assert.deepEqual([claims.name, claims.email, claims.email_verified], ['Grace Hopper', 'grace@glewlwyd.example', false])
    assert.equal((await client.fetchUserInfo(apps.basic.config, tokens.access_token, claims.sub)).name, 'Grace Hopper')
    assert.equal(decodeJwt((await apps.basic.refresh(tokens.refresh_token)).id_token).sub, claims.sub)
    const attempt = await apps.basic.begin({ idp_hint: 'glewlwyd', max_age: '60' })
    const page = await signIn(browser, await browser.open(attempt.url))
    assert.equal(await apps.basic.refused(attempt, page), 'unmet_authentication_requirements')
  })
}

// -------------------------------------------------------------------- refresh

const refused = async (app, token) => (await denial(client.refreshTokenGrant(app.config, token))).error

await step('refresh: the token rotates; the ID token keeps sub, auth_time, sid and has no nonce; a narrower scope is given as asked', async () => {
  const before = decodeJwt(first.id_token)
  const next = await apps.basic.refresh(first.refresh_token)
  assert.notEqual(next.refresh_token, first.refresh_token)
  const claims = await identityClaims(next.id_token, 'app-basic')
  assert.deepEqual([claims.sub, claims.auth_time, claims.sid, claims.nonce], [before.sub, before.auth_time, before.sid, undefined])
  assert.equal((await accessClaims(next.access_token)).sub, 'panva|ada')
  const narrow = await apps.basic.refresh(next.refresh_token, { scope: 'openid email' })
  assert.equal(narrow.scope, 'openid email')
  const answer = await client.fetchUserInfo(apps.basic.config, narrow.access_token, 'panva|ada')
  assert.deepEqual([answer.email, answer.name], ['ada@panva.example', undefined])
})

await step('a refresh answer that got lost: repeated within the grace, the same successor', async () => {
  const { refresh_token: token } = await apps.basic.login(ada)
  const [one, two] = [await apps.basic.refresh(token), await apps.basic.refresh(token)]
  assert.equal(one.refresh_token, two.refresh_token)
  await apps.basic.refresh(one.refresh_token)
})

await step('one refresh token used by ten requests at once: one successor, and it is good', async () => {
  const { refresh_token: token } = await apps.basic.login(ada)
  const answers = await Promise.all(Array.from({ length: 10 }, () => apps.basic.refresh(token)))
  assert.equal(new Set(answers.map(({ refresh_token: next }) => next)).size, 1)
  assert.equal(new Set(answers.map(({ access_token: each }) => each)).size, 10)
  await apps.basic.refresh(answers[0].refresh_token)
})

await step('a refresh token that is used again after its successor was used: the family is revoked, its access token dead', async () => {
  const { refresh_token: token } = await apps.basic.login(ada)
  const one = await apps.basic.refresh(token)
  const two = await apps.basic.refresh(one.refresh_token)
  assert.equal(await apps.basic.active(two.access_token), true)
  assert.equal(await refused(apps.basic, token), 'invalid_grant')
  assert.equal(await refused(apps.basic, two.refresh_token), 'invalid_grant')
  assert.equal(await apps.basic.active(two.access_token), false)
  const error = await client.fetchUserInfo(apps.basic.config, two.access_token, 'panva|ada').catch((reason) => reason)
  assert.equal(error.status, 401)
})

await step('a refresh token that is used again after the grace: the family is revoked', async () => {
  const { refresh_token: token } = await apps.basic.login(ada)
  const one = await apps.basic.refresh(token)
  await pause((graceSeconds + 1) * 1000)
  assert.equal(await refused(apps.basic, token), 'invalid_grant')
  assert.equal(await refused(apps.basic, one.refresh_token), 'invalid_grant')
})

await step('a refresh token of one app is refused to another, and still good for its own', async () => {
  const { refresh_token: token } = await apps.basic.login(ada)
  assert.equal(await refused(apps.post, token), 'invalid_grant')
  await apps.basic.refresh(token)
})

await step('openid-client revokes a refresh token: it is refused, and so is its access token', async () => {
  const tokens = await apps.basic.login(ada)
  await client.tokenRevocation(apps.basic.config, tokens.refresh_token)
  assert.equal(await refused(apps.basic, tokens.refresh_token), 'invalid_grant')
  assert.equal(await apps.basic.active(tokens.access_token), false)
})

// -------------------------------------------------------------------- rotation at the provider

await step('the second oidc-provider withdraws its key between two logins: the next login is verified with the new one', async () => {
  const keyIDs = async () => (await (await fetch(`${beta}/jwks`)).json()).keys.map(({ kid }) => kid)
  const [old] = await keyIDs()
  process.kill(Number(process.env.BETA_PID), 'SIGUSR2')
  await until('the new key', async () => (await keyIDs()).includes(old) ? undefined : true)
  const tokens = await apps.basic.login(new Browser(), { idp_hint: 'beta' })
  assert.equal(decodeJwt(tokens.id_token).sub, 'beta|ada')
})

// -------------------------------------------------------------------- logout

await step('logout by the app: back at the app with its state, the session gone, its refresh tokens dead, the offline ones alive', async () => {
  const browser = new Browser()
  const tokens = await apps.basic.login(browser, { idp_hint: 'panva' })
  const bound = await apps.post.login(browser)
  assert.ok(bound.refresh_token, 'session_refresh gives a refresh token')
  const page = await browser.open(client.buildEndSessionUrl(apps.basic.config, {
    id_token_hint: tokens.id_token, post_logout_redirect_uri: 'https://basic.example/', state: 'bye',
  }))
  assert.equal(page.url.href, 'https://basic.example/?state=bye')
  const attempt = await apps.basic.begin({ prompt: 'none' })
  assert.equal(await apps.basic.refused(attempt, await browser.open(attempt.url)), 'login_required')
  assert.equal(await refused(apps.post, bound.refresh_token), 'invalid_grant')
  await apps.basic.refresh(tokens.refresh_token)
})

await step('the same person signs in again in one browser: a new session id, what hung on the old one lives, and one logout ends both', async () => {
  const browser = new Browser()
  const before = await apps.post.login(browser, { idp_hint: 'panva' })
  const again = await apps.basic.login(browser, { idp_hint: 'panva', prompt: 'login' })
  assert.notEqual(decodeJwt(again.id_token).sid, decodeJwt(before.id_token).sid)
  const { refresh_token: next } = await apps.post.refresh(before.refresh_token)
  const page = await browser.open(client.buildEndSessionUrl(apps.basic.config, { id_token_hint: again.id_token, post_logout_redirect_uri: 'https://basic.example/' }))
  assert.equal(page.url.href, 'https://basic.example/')
  assert.equal(await refused(apps.post, next), 'invalid_grant')
})

await step('another person signs in in the same browser: the first one\'s session is over', async () => {
  const browser = new Browser()
  const before = await apps.post.login(browser, { idp_hint: 'panva' })
  await apps.basic.login(browser, { idp_hint: 'panva', prompt: 'login' }, { login: 'ben' })
  assert.equal(await refused(apps.post, before.refresh_token), 'invalid_grant')
  assert.equal(await apps.post.active(before.access_token), false)
  assert.equal(decodeJwt((await apps.post.login(browser, { prompt: 'none' })).id_token).sub, 'panva|ben')
})

await step('logout without a hint asks the person first, and another browser\'s hint does not spare the question', async () => {
  const browser = new Browser()
  await apps.basic.login(browser, { idp_hint: 'panva' })
  const none = () => apps.basic.begin({ prompt: 'none' })
  for (const parameters of [{}, { id_token_hint: first.id_token, post_logout_redirect_uri: 'https://basic.example/' }]) {
    const page = await browser.open(client.buildEndSessionUrl(apps.basic.config, parameters))
    assert.deepEqual([page.status, page.url.origin, page.forms.length], [200, origin, 1])
    const attempt = await none()
    await apps.basic.finish(attempt, await browser.open(attempt.url)) // still signed in
  }
  const asked = await browser.open(client.buildEndSessionUrl(apps.basic.config, {}))
  const done = await browser.submit(asked.forms[0])
  assert.equal(done.status, 200)
  const attempt = await none()
  assert.equal(await apps.basic.refused(attempt, await browser.open(attempt.url)), 'login_required')
})

// -------------------------------------------------------------------- the operator

await step('an operator finds a person\'s session and ends it: signed out, its tokens dead, another browser\'s alive', async () => {
  const [browser, other] = [new Browser(), new Browser()]
  const tokens = await apps.post.login(browser, { idp_hint: 'panva' })
  const elsewhere = await apps.post.login(other, { idp_hint: 'panva' })
  const { sid } = decodeJwt(tokens.id_token)
  const operator = async (...words) => (await run(process.env.FEDBROKER, ['sessions', ...words, '--config', join(process.env.WORK, 'fedbroker.yaml')])).stdout
  assert.ok((await operator('list', '--subject', 'panva|ada', '--limit', '1000')).includes(sid))
  await operator('revoke', sid)
  assert.ok(!(await operator('list', '--subject', 'panva|ada', '--limit', '1000')).includes(sid))
  const attempt = await apps.post.begin({ prompt: 'none' })
  assert.equal(await apps.post.refused(attempt, await browser.open(attempt.url)), 'login_required')
  assert.equal(await refused(apps.post, tokens.refresh_token), 'invalid_grant')
  assert.equal(await apps.post.active(tokens.access_token), false)
  assert.equal(await apps.post.active(elsewhere.access_token), true)
  await apps.post.refresh(elsewhere.refresh_token)
})

finish()
