// People in headless Chromium: the chooser, a single-page app on npm oidc-client-ts, the page behind Apache, the pages of failure and of sign-out,
// and the demo. Every page is looked at: work/screenshots has them wide and narrow, light and dark.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { App, apps, beta, issuer, panva } from './app.mjs'
import { launch, Screen } from './screen.mjs'
import { finish, step } from './steps.mjs'

const { SPA_URL: spa, APACHE_URL: apache, APACHE_THERE: apacheThere, FEDBROKER: fedbroker } = process.env
const demoSeconds = 20
const app = new App(apps.basic.config, `${spa}/app`, apps.basic.scope)
const chrome = await launch()

// visit runs a step in a browser of its own; nothing on its pages may have complained at the end. The status is that of a page that refuses.
const visit = (name, check, { status, ...options } = {}) => step(name, async () => {
  const screen = await Screen.open(chrome, options)
  try {
    await check(screen.page, screen)
    screen.quiet(status)
  } finally {
    await screen.close()
  }
})

// signIn fills in the forms of oidc-provider as they come.
async function signIn(page, button = 'Allow') {
  await page.getByLabel('Login').fill('ada')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('button', { name: button }).click()
}

// atApp waits for what reaches the app, by query or by form.
async function atApp(page, act) {
  const asked = page.waitForRequest((request) => request.url().split('?')[0] === app.redirectURI)
  await act()
  const request = await asked
  await page.waitForURL(({ href }) => href.startsWith(app.redirectURI))
  return request.method() === 'POST' ? new URLSearchParams(request.postData()) : new URL(request.url()).searchParams
}

await visit('Chromium calls what a page complains of by its name (so that silence below means something)', async (page, screen) => {
  await page.goto(`${spa}/`)
  await page.evaluate(() => { const image = new Image(); image.src = 'http://127.0.0.1:1/x.png'; document.body.append(image); console.error('loud') })
  await page.waitForTimeout(200)
  assert.ok(screen.complaints.some((text) => text.includes('Content Security Policy')) && screen.complaints.some((text) => text.includes('loud')), String(screen.complaints))
  screen.complaints.length = 0
})

// -------------------------------------------------------------------- the chooser

const choose = async (page, parameters) => {
  const attempt = await app.begin(parameters)
  await page.goto(attempt.url.href)
  return attempt
}

await visit('the chooser: looked at, and one option clicked', async (page, screen) => {
  await choose(page)
  await screen.picture('chooser')
  await page.getByRole('link', { name: 'Panva & Partners' }).click()
  assert.equal(new URL(page.url()).origin, panva)
  const answer = await atApp(page, () => signIn(page))
  assert.ok(answer.get('code') && answer.get('iss') === issuer)
  const ours = (await screen.context.cookies(issuer)).filter(({ name }) => name.startsWith('fedbroker'))
  assert.deepEqual(ours.map(({ name, httpOnly, sameSite, path }) => [name, httpOnly, sameSite, path]), [['fedbroker-session', true, 'Lax', '/']])
})

await visit('the chooser by keyboard alone, without JavaScript, to the provider that answers by form_post', async (page) => {
  await choose(page)
  for (let presses = 0; presses < 10 && !(await page.evaluate(() => document.activeElement?.matches('a') && document.activeElement.textContent.includes('Beta Works'))); presses++) await page.keyboard.press('Tab')
  await Promise.all([page.waitForURL(`${beta}/**`), page.keyboard.press('Enter')])
  await signIn(page)
  const answer = await atApp(page, () => page.getByRole('button', { name: 'Continue' }).click())
  assert.ok(answer.get('code'))
}, { javaScriptEnabled: false })

await visit('an e-mail address typed at the chooser leads to its provider; one of nobody\'s domain is told so, and keeps the choice', async (page, screen) => {
  await choose(page)
  await page.getByLabel(/e-mail/i).fill('someone@nobody.example')
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('alert').waitFor()
  assert.equal(await page.getByLabel(/e-mail/i).inputValue(), 'someone@nobody.example')
  assert.equal(await page.getByRole('link').count(), 5)
  await screen.picture('chooser-unknown-domain')
  await page.getByLabel(/e-mail/i).fill('someone@beta.example')
  await Promise.all([page.waitForURL(`${beta}/**`), page.getByRole('button', { name: 'Continue' }).click()])
})

await visit('markup in what an app sends stays text on the chooser and on the page of a failure', async (page, screen) => {
  const markup = '"><script>alert(1)</script><img src=x onerror=alert(2)>@nobody.example'
  page.on('dialog', (dialog) => (screen.complaints.push(`dialog: ${dialog.message()}`), dialog.dismiss()))
  await choose(page, { login_hint: markup, state: markup, nonce: markup, ui_locales: 'en"><b>' })
  assert.equal(await page.locator('script, img, b').count(), 0)
  assert.equal(await page.getByRole('link').count(), 5)
  await page.goto(`${issuer}/authorize?client_id=${encodeURIComponent(markup)}&redirect_uri=${encodeURIComponent(`javascript:alert(3)//${markup}`)}`)
  assert.equal(await page.locator('script, img, b').count(), 0)
}, { status: 400 })

await visit('Chromium carries the form_post of the second provider, and ours to the app', async (page) => {
  const { state } = await choose(page, { idp_hint: 'beta', response_mode: 'form_post' })
  const answer = await atApp(page, () => signIn(page))
  assert.ok(answer.get('code'))
  assert.deepEqual([answer.get('state'), answer.get('iss'), new URL(page.url()).search], [state, issuer, ''])
})

// -------------------------------------------------------------------- pages of failure and of sign-out

await visit('a redirect_uri that is not the app\'s: the page, looked at', async (page, screen) => {
  await choose(page, { redirect_uri: `${app.redirectURI}/` })
  await screen.picture('failure-redirect')
}, { status: 400 })

await visit('a no at the provider: the page, looked at, and its way back', async (page, screen) => {
  await choose(page, { idp_hint: 'panva' })
  await signIn(page, 'Deny')
  await screen.picture('failure-denied')
  const answer = await atApp(page, () => page.getByRole('link', { name: /^Back to/ }).click())
  assert.equal(answer.get('error'), 'access_denied')
}, { status: 400 })

await visit('a callback without a login: the page, looked at', async (page, screen) => {
  await page.goto(`${issuer}/callback/panva?code=x&state=y`)
  await screen.picture('start-again')
}, { status: 400 })

await visit('sign-out: asked, looked at, done, looked at', async (page, screen) => {
  await choose(page, { idp_hint: 'panva' })
  await atApp(page, () => signIn(page))
  await page.goto(`${issuer}/logout`)
  await screen.picture('signout')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('heading', { name: /signed out/i }).waitFor()
  await screen.picture('signed-out')
})

// -------------------------------------------------------------------- a single-page app

const user = async (page) => {
  await page.getByText(/^(signed (in|out)|failed.*)$/).waitFor()
  assert.equal(await page.textContent('#state'), 'signed in')
  return JSON.parse(await page.textContent('#user'))
}

await visit('oidc-client-ts: login through the chooser, userinfo across origins, renewal by refresh token and in a hidden frame (prompt=none), sign-out', async (page, screen) => {
  await page.goto(`${spa}/`)
  await page.getByText('signed out').waitFor()
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('link', { name: 'Panva & Partners' }).click()
  await signIn(page)
  await page.waitForURL(`${spa}/**`)
  const before = await user(page)
  assert.deepEqual([before.profile.sub, before.profile.email, before.profile.aud, before.renewable], ['panva|ada', 'ada@panva.example', 'spa', true])
  assert.equal(before.profile.given_name, 'Ada')
  assert.ok(before.profile.auth_time && before.profile.sid)
  await screen.picture('spa')
  let token = before.token
  for (const button of ['Renew', 'Renew', 'Renew in a frame']) {
    await page.getByRole('button', { name: button, exact: true }).click()
    const after = await user(page)
    assert.notEqual(after.token, token)
    assert.deepEqual([after.profile.sub, after.profile.auth_time, after.profile.sid], [before.profile.sub, before.profile.auth_time, before.profile.sid])
    token = after.token
  }
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByText('signed out').waitFor()
  assert.equal(page.url(), `${spa}/`)
})

await visit('another origin gets no answer from /token and /userinfo', async (page, screen) => {
  await page.goto(`${panva}/.well-known/openid-configuration`)
  const answers = await page.evaluate(async (base) => Promise.all(['token', 'userinfo'].map(async (path) => {
    try {
      await fetch(`${base}/${path}`, { method: 'POST', body: new URLSearchParams({ client_id: 'spa' }), credentials: 'include' })
      return 'answered'
    } catch {
      return 'refused'
    }
  })), issuer)
  assert.deepEqual(answers, ['refused', 'refused'])
  screen.complaints.length = 0 // the browser says so, too
})

// -------------------------------------------------------------------- the page behind Apache

if (apacheThere) {
  await visit('the page behind Apache: the person who is signed in at the app is not asked again', async (page, screen) => {
    await page.goto(`${spa}/`)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('link', { name: 'Panva & Partners' }).click()
    await signIn(page)
    await page.waitForURL(`${spa}/**`)
    await user(page)
    await page.goto(`${apache}/private/`)
    assert.equal(page.url(), `${apache}/private/`)
    assert.deepEqual([await page.textContent('#subject'), await page.textContent('#email')], ['panva|ada', 'ada@panva.example'])
    await screen.picture('apache')
  })
}

// -------------------------------------------------------------------- the demo

// demo runs `fedbroker demo` and gives the page that it says to open.
async function demo(use) {
  const server = spawn(fedbroker, ['demo'], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } })
  const late = setTimeout(() => server.kill(), demoSeconds * 1000)
  try {
    for await (const line of createInterface({ input: server.stdout })) {
      const [, url] = /\bopen\b.*?(http:\/\/[^\s]+)/i.exec(line) ?? []
      if (url) return await use(url, clearTimeout(late))
    }
    assert.fail('the demo names no page to open')
  } finally {
    clearTimeout(late)
    server.kill()
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
  }
}

await visit('fedbroker demo: sign in at a partner, the claims side by side, a call of the API through an exchange, sign-out', (page, screen) => demo(async (url) => {
  await page.goto(url)
  await screen.picture('demo')
  await page.getByRole('link', { name: 'Sign in', exact: true }).click()
  await screen.picture('demo-chooser')
  await page.getByRole('link', { name: /acme/i }).click()
  await screen.picture('demo-partner')
  await page.getByLabel('Name').fill('ada')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('button', { name: 'Exchange and call' }).waitFor()
  await screen.picture('demo-signed-in')
  await page.getByRole('button', { name: 'Exchange and call' }).click()
  await page.getByText(/The API answered/).waitFor()
  assert.match(await page.textContent('[role=status]'), /answered 200/)
  assert.match(await page.textContent('table'), /department|groups/)
  await screen.picture('demo-called')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('link', { name: 'Sign in', exact: true }).waitFor()
}))

await chrome.close()
finish()
