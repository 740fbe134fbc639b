// Logins over a crash of fedbroker. `crash.mjs before` brings people to several places of their way and writes down where they are; then `run` kills
// the broker and starts it anew; `crash.mjs after` goes on.
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import { apps, signIn } from './app.mjs'
import { denial } from './broker.mjs'
import { Browser, Page } from './browser.mjs'
import { finish, keep, step } from './steps.mjs'

const held = join(process.env.WORK, 'held.json')

async function before() {
  const browser = new Browser()
  const offline = await apps.basic.login(browser, { idp_hint: 'panva' })
  const bound = await apps.post.login(browser)

  const spent = await apps.basic.begin()
  spent.page = await browser.open(spent.url)
  await apps.basic.finish(spent, spent.page)

  const unspent = await apps.basic.begin()
  unspent.page = await browser.open(unspent.url)
  keep(unspent.page.parameters.get('code'))

  const other = new Browser() // is on the way back from the provider
  const callback = await apps.basic.begin({ idp_hint: 'panva' })
  other.until = (url) => url.pathname.endsWith('/callback/panva')
  callback.page = await signIn(other, await other.open(callback.url))
  keep(callback.page.parameters.get('code'))

  writeFileSync(held, JSON.stringify({ cookies: browser.jar, otherCookies: other.jar, offline, bound, spent, unspent, callback }), { mode: 0o600 })
}

const page = ({ url }) => new Page({ url: new URL(url), outside: true })

async function after() {
  const was = JSON.parse(readFileSync(held, 'utf8'))
  rmSync(held)
  const browser = new Browser(was.cookies)

  await step('after a crash: the person is still signed in, and the tokens are what they were', async () => {
    const tokens = await apps.basic.login(browser, { prompt: 'none' })
    assert.equal(decodeJwt(tokens.id_token).sid, decodeJwt(was.offline.id_token).sid)
    assert.equal(await apps.basic.active(was.offline.access_token), true)
  })
  await step('after a crash: both kinds of refresh token rotate', async () => {
    await apps.basic.refresh(was.offline.refresh_token)
    await apps.post.refresh(was.bound.refresh_token)
  })
  await step('after a crash: a code that was given before it is good once', async () => {
    await apps.basic.finish(was.unspent, page(was.unspent.page))
    assert.equal((await denial(apps.basic.finish(was.unspent, page(was.unspent.page)))).error, 'invalid_grant')
  })
  await step('after a crash: a code that was redeemed before it is refused', async () =>
    assert.equal((await denial(apps.basic.finish(was.spent, page(was.spent.page)))).error, 'invalid_grant'))
  await step('after a crash: a login that was under way ends well', async () => {
    const other = new Browser(was.otherCookies)
    const tokens = await apps.basic.finish(was.callback, await other.open(was.callback.page.url))
    assert.equal(decodeJwt(tokens.id_token).sub, 'panva|ada')
  })
}

await { before, after }[process.argv[2]]()
finish()
