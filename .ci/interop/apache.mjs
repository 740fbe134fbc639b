// Debian's mod_auth_openidc as a confidential client, in front of a page that only shows what it is told.
import assert from 'node:assert/strict'
import { decodeJwt } from 'jose'
import { accessClaims, apps, panva, signIn } from './app.mjs'
import { Browser } from './browser.mjs'
import { finish, keep, step } from './steps.mjs'

const { APACHE_URL: apache } = process.env
const shown = (page, id) => new RegExp(`<dd id="${id}">([^<]*)`).exec(page.html)?.[1]
const token = (page) => keep(shown(page, 'token'))

await step('the page in front of the login is open, and shows nobody', async () => {
  const page = await new Browser().open(`${apache}/`)
  assert.deepEqual([page.status, shown(page, 'subject')], [200, ''])
})

const browser = new Browser()
let before
await step('mod_auth_openidc logs a person in, and the page behind it sees who it is', async () => {
  const page = await signIn(browser, await browser.open(`${apache}/private/`), {})
  const chosen = page.links.find((link) => link.searchParams.get('idp_hint') === 'panva')
  const home = await signIn(browser, await browser.open(chosen))
  assert.deepEqual([home.status, home.url.href], [200, `${apache}/private/`])
  assert.deepEqual([shown(home, 'subject'), shown(home, 'email'), shown(home, 'name')], ['panva|ada', 'ada@panva.example', 'Ada Lovelace'])
  assert.equal(shown(home, 'groups'), 'panva:eng-orders,panva:staff')
  before = token(home)
  assert.equal((await accessClaims(before)).client_id, 'apache')
})

await step('its session and openid-client\'s are one sign-on', async () => {
  const mark = browser.visited.length
  const tokens = await apps.basic.login(browser)
  assert.ok(!browser.went(panva, mark), 'the person was sent to the provider again')
  assert.equal(decodeJwt(tokens.id_token).sub, 'panva|ada')
})

await step('mod_auth_openidc refreshes its access token', async () => {
  const page = await browser.open(`${apache}/private/callback?refresh=${encodeURIComponent(`${apache}/private/`)}&access_token=${encodeURIComponent(before)}`)
  assert.deepEqual([page.status, page.url.href], [200, `${apache}/private/`])
  const after = token(page)
  assert.notEqual(after, before)
  assert.equal((await accessClaims(after)).sub, 'panva|ada')
})

await step('mod_auth_openidc logs out at fedbroker: the next visit asks who it is', async () => {
  const page = await browser.open(`${apache}/private/callback?logout=${encodeURIComponent(`${apache}/`)}`)
  assert.equal(page.url.href.split('?')[0], `${apache}/`)
  const attempt = await apps.basic.begin({ prompt: 'none' })
  assert.equal(await apps.basic.refused(attempt, await browser.open(attempt.url)), 'login_required')
  assert.ok((await browser.open(`${apache}/private/`)).links.some((link) => link.searchParams.has('idp_hint')), 'not at the chooser')
})

finish()
