// What fedbroker must refuse of apps, of browsers and of identity providers, seen by openid-client and by a person.
import assert from 'node:assert/strict'
import { decodeJwt } from 'jose'
import * as client from 'openid-client'
import { apology, apps, issuer, panva, signIn, wayBack, words } from './app.mjs'
import { Browser } from './browser.mjs'
import { finish, keep, step } from './steps.mjs'

const parallel = 20
const keptAttempts = 8 // P30
const cookieLimit = 16 * 1024 // what servers and proxies take as one header

const ada = new Browser()
await apps.basic.login(ada, { idp_hint: 'panva' })

// code logs in and stops before the code is redeemed.
async function code(app = apps.basic, parameters) {
  const attempt = await app.begin(parameters)
  const page = await signIn(ada, await ada.open(attempt.url))
  keep(page.parameters.get('code'))
  return { attempt, page }
}

const denied = async (promise) => {
  const error = await promise.then(() => assert.fail('granted'), (reason) => reason)
  assert.ok(error instanceof client.ResponseBodyError, String(error))
  return error.error
}

// -------------------------------------------------------------------- codes

await step('a code that is redeemed twice: refused, and what it gave is dead', async () => {
  const { attempt, page } = await code()
  const tokens = await apps.basic.finish(attempt, page)
  assert.equal(await apps.basic.active(tokens.access_token), true)
  assert.equal(await denied(apps.basic.finish(attempt, page)), 'invalid_grant')
  assert.equal(await apps.basic.active(tokens.access_token), false)
  assert.equal(await denied(apps.basic.refresh(tokens.refresh_token)), 'invalid_grant')
})

await step('a code that is redeemed by ten requests at once: one answer at most, and it is dead', async () => {
  const { attempt, page } = await code()
  const answers = await Promise.allSettled(Array.from({ length: 10 }, () => apps.basic.finish(attempt, page)))
  const granted = answers.filter(({ status }) => status === 'fulfilled').map(({ value }) => value)
  assert.ok(granted.length <= 1, `${granted.length} answers`)
  for (const { reason } of answers.filter(({ status }) => status === 'rejected')) assert.equal(reason.error, 'invalid_grant')
  for (const tokens of granted) {
    assert.equal(await apps.basic.active(tokens.access_token), false)
    assert.equal(await denied(apps.basic.refresh(tokens.refresh_token)), 'invalid_grant')
  }
})

await step('a code of another app is refused', async () => {
  const { attempt, page } = await code()
  const stolen = new URL(page.url.href.replace(apps.basic.redirectURI, apps.post.redirectURI))
  assert.equal(await denied(client.authorizationCodeGrant(apps.post.config, stolen, {
    pkceCodeVerifier: attempt.verifier, expectedState: attempt.state, expectedNonce: attempt.nonce,
  })), 'invalid_grant')
})

await step('a code without its verifier, with another one, or with another redirect_uri is refused', async () => {
  const redeem = async (changes) => {
    const { attempt, page } = await code()
    const form = { code: page.parameters.get('code'), redirect_uri: apps.basic.redirectURI, code_verifier: attempt.verifier, ...changes }
    for (const name of Object.keys(form)) if (form[name] === undefined) delete form[name]
    return client.genericGrantRequest(apps.basic.config, 'authorization_code', form)
  }
  await redeem({})
  assert.equal(await denied(redeem({ code_verifier: client.randomPKCECodeVerifier() })), 'invalid_grant')
  assert.match(await denied(redeem({ code_verifier: undefined })), /^invalid_(grant|request)$/)
  assert.equal(await denied(redeem({ redirect_uri: `${apps.basic.redirectURI}/` })), 'invalid_grant')
})

// -------------------------------------------------------------------- authorization requests

const wrong = {
  'PKCE plain': [{ code_challenge_method: 'plain' }, 'invalid_request'],
  'no PKCE': [{ code_challenge: undefined, code_challenge_method: undefined }, 'invalid_request'],
  'response type token': [{ response_type: 'token' }, 'unsupported_response_type'],
  'response mode fragment': [{ response_mode: 'fragment' }, 'invalid_request'],
  'a request object': [{ request: 'eyJhbGciOiJub25lIn0.e30.' }, 'request_not_supported'],
  'a request_uri': [{ request_uri: 'https://basic.example/request' }, 'request_uri_not_supported'],
  'prompt none with login': [{ prompt: 'none login' }, 'invalid_request'],
}
for (const [what, [parameters, want]] of Object.entries(wrong)) {
  await step(`${what}: the app is told ${want}, with its state and our iss`, async () => {
    const attempt = await apps.basic.begin(parameters)
    for (const [name, value] of Object.entries(parameters)) if (value === undefined) attempt.url.searchParams.delete(name)
    assert.equal(await apps.basic.refused(attempt, await ada.open(attempt.url)), want)
  })
}

await step('a state of 1,000 characters comes back whole; one that no cookie can hold is told to the app, whole', async () => {
  for (const [length, want] of [[1000, undefined], [5000, 'invalid_request']]) {
    const browser = new Browser()
    const state = 'state+/%&='.repeat(length / 10)
    const attempt = { ...(await apps.basic.begin({ idp_hint: 'panva', state })), state }
    const page = await signIn(browser, await browser.open(attempt.url))
    if (want) assert.equal(await apps.basic.refused(attempt, page), want)
    else await apps.basic.finish(attempt, page)
  }
})

const places = {
  'a slash too many': 'https://basic.example/callback/',
  'userinfo': 'https://basic.example@evil.example/callback',
  'a fragment': 'https://basic.example/callback#a',
  'another app\'s': 'https://post.example/callback',
  'another scheme': 'http://basic.example/callback',
  'a script': 'javascript:alert(1)//https://basic.example/callback',
}
for (const [what, place] of Object.entries(places)) {
  await step(`redirect_uri with ${what}: a page, and no way to that place`, async () => {
    const attempt = await apps.basic.begin({ redirect_uri: place })
    const page = await ada.open(attempt.url)
    assert.equal(page.outside, false, 'redirected')
    apology(page, 400)
    assert.ok(!page.links.some(({ href }) => href === place) && !page.forms.some(({ action }) => action.href === place))
  })
}
await step('an unknown client_id: a page, and no redirect', async () => {
  const attempt = await apps.basic.begin({ client_id: 'nobody' })
  apology(await ada.open(attempt.url), 400)
})

// -------------------------------------------------------------------- callbacks

// held begins a login at panva's provider and stops before fedbroker's callback.
async function held(browser, parameters = { idp_hint: 'panva', prompt: 'login' }) {
  const attempt = await apps.basic.begin(parameters)
  browser.until = (url) => url.pathname.includes('/callback/')
  const page = await signIn(browser, await browser.open(attempt.url))
  browser.until = () => false
  assert.ok(page.url.pathname.endsWith('/callback/panva'), words(page))
  keep(page.parameters.get('code'))
  return { attempt, callback: page.url }
}

await step('the callback in another browser, and then twice in its own: each time a page, and only one login', async () => {
  const [own, other] = [new Browser(), new Browser()]
  const { attempt, callback } = await held(own)
  apology(await other.open(callback), 400)
  await apps.basic.finish(attempt, await own.open(callback))
  apology(await own.open(callback), 400)
})

await step('the callback of another provider, with another\'s iss, or with a state that is not ours: a page', async () => {
  for (const change of [
    (url) => { url.pathname = url.pathname.replace('panva', 'beta') },
    (url) => url.searchParams.set('iss', 'https://evil.example'),
    (url) => url.searchParams.set('state', '6b000000AAAAAAAAAAAAAAAAAAAAAA'),
    (url) => url.searchParams.append('code', 'another'),
  ]) {
    const browser = new Browser()
    const { callback } = await held(browser)
    change(callback)
    const page = await browser.open(callback)
    assert.equal(page.outside, false, 'the app was told something')
    assert.ok(page.status >= 400, `${page.status}`)
    apology(page, page.status)
    const attempt = await apps.basic.begin({ prompt: 'none' })
    assert.equal(await apps.basic.refused(attempt, await browser.open(attempt.url)), 'login_required')
  }
})

await step('a code that the provider never gave: a page, and the way back tells the app', async () => {
  const browser = new Browser()
  const { attempt, callback } = await held(browser)
  callback.searchParams.set('code', 'never-given')
  const page = await browser.open(callback)
  assert.ok(page.status >= 400, `${page.status}`)
  apology(page, page.status)
  assert.match(await apps.basic.refused(attempt, await wayBack(browser, page, apps.basic)), /^(access_denied|server_error)$/)
})

await step('a person who says no at the provider: a page without the provider\'s words, and the way back says access_denied', async () => {
  const browser = new Browser()
  const attempt = await apps.basic.begin({ idp_hint: 'panva', state: 'a&b="c"' })
  attempt.state = 'a&b="c"'
  const page = await signIn(browser, await browser.open(attempt.url), { deny: 'yes' })
  apology(page, 400, 403)
  assert.match(page.html, /Panva &amp; Partners/, 'the provider is not called by its display name')
  assert.doesNotMatch(page.html, /the person said no|alert\(1\)/)
  assert.equal(await apps.basic.refused(attempt, await wayBack(browser, page, apps.basic)), 'access_denied')
})

await step('two tabs of one browser: each login ends at its own app', async () => {
  const browser = new Browser()
  browser.until = (url) => url.origin === panva
  const tabs = []
  for (const app of [apps.basic, apps.post]) {
    const attempt = await app.begin({ idp_hint: 'panva' })
    tabs.push({ app, attempt, place: (await browser.open(attempt.url)).url })
  }
  browser.until = () => false
  for (const { app, attempt, place } of tabs.reverse()) {
    const tokens = await app.finish(attempt, await signIn(browser, await browser.open(place)))
    assert.equal(decodeJwt(tokens.id_token).sub, 'panva|ada')
  }
})

await step(`${parallel} logins at once in one browser: the newest ${keptAttempts} end well, the oldest starts again, and the cookies fit into a header`, async () => {
  const browser = new Browser()
  const attempts = []
  browser.until = (url) => url.origin === panva
  for (let i = 0; i < parallel; i++) {
    const attempt = await apps.basic.begin({ idp_hint: 'panva' })
    attempts.push({ attempt, place: (await browser.open(attempt.url)).url })
    const size = browser.jar.fitting(new URL(`${issuer}/callback/panva`)).reduce((sum, { name, value }) => sum + name.length + value.length + 3, 0)
    assert.ok(size < cookieLimit, `${size} bytes of cookies`)
  }
  browser.until = () => false
  const subjects = []
  for (const { attempt, place } of attempts.slice(-keptAttempts)) {
    const tokens = await apps.basic.finish(attempt, await signIn(browser, await browser.open(place)))
    subjects.push(decodeJwt(tokens.id_token).sub)
  }
  assert.deepEqual(subjects, Array(keptAttempts).fill('panva|ada'))
  apology(await signIn(browser, await browser.open(attempts[0].place)), 400)
})

finish()
