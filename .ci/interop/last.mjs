// The last steps: an identity provider that is gone, and what the broker wrote down in the whole run.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import { apology, apps, beta, signIn, wayBack } from './app.mjs'
import { Browser } from './browser.mjs'
import { finish, secret, step, until } from './steps.mjs'

const { WORK: work, PANVA_PID: panvaPID, BETA_PID: betaPID } = process.env

// interrupted begins a login, and does something to the provider just before its answer reaches the broker.
async function interrupted(upstream, happen) {
  const browser = new Browser()
  const attempt = await apps.basic.begin({ idp_hint: upstream })
  browser.until = (url) => url.pathname.endsWith(`/callback/${upstream}`)
  const callback = await signIn(browser, await browser.open(attempt.url))
  browser.until = () => false
  await happen()
  const started = performance.now()
  const page = await browser.open(callback.url, callback.init)
  return { browser, attempt, page, seconds: (performance.now() - started) / 1000 }
}

const outages = {
  'does not answer any more': ['panva', () => process.kill(Number(panvaPID), 'SIGSTOP')],
  'is gone': ['beta', async () => {
    process.kill(Number(betaPID))
    await until('its end', () => fetch(beta).then(() => undefined, () => true))
  }],
}
for (const [what, [upstream, happen]] of Object.entries(outages)) {
  await step(`a provider that ${what} between login and code: a page within 15 s, and the way back says temporarily_unavailable`, async () => {
    const { browser, attempt, page, seconds } = await interrupted(upstream, happen).finally(() => process.kill(Number(panvaPID), 'SIGCONT'))
    assert.ok(seconds < 15, `${seconds} s`)
    apology(page, 503)
    assert.equal(await apps.basic.refused(attempt, await wayBack(browser, page, apps.basic)), 'temporarily_unavailable')
  })
}

await step('with one provider gone, people of the other still log in', async () => {
  const tokens = await apps.basic.login(new Browser(), { idp_hint: 'panva' })
  assert.equal(decodeJwt(tokens.id_token).sub, 'panva|ada')
})

await step('no token, no code, no secret and no person is in a broker\'s log or journal', () => {
  const kept = readFileSync(join(work, 'kept'), 'utf8').trim().split('\n').map((value) => value.split('.').at(-1))
  const secrets = readdirSync(work, { recursive: true }).filter((name) => /^(partner\/)?[^/]+\.(secret|key)$/.test(name)).map(secret)
  const people = ['Lovelace', 'Hopper', 'McNulty', '@panva.example', '@beta.example', '@glewlwyd.example', '@keycloak.example']
  assert.ok(kept.length > 100 && kept.every((value) => value.length >= 16) && secrets.length > 10, 'nothing to look for')
  const files = ['broker.log', 'partner.log']
  for (const folder of ['journal', 'partner/journal']) files.push(...readdirSync(join(work, folder)).map((name) => join(folder, name)))
  let bytes = 0
  for (const file of files) {
    const text = readFileSync(join(work, file), 'utf8')
    bytes += text.length
    for (const value of kept) assert.ok(!text.includes(value), `what an answer held is in ${file}`)
    for (const value of secrets) assert.ok(!text.includes(value), `a secret is in ${file}`)
    for (const value of people) assert.ok(!text.includes(value), `${value} is in ${file}`)
  }
  assert.ok(bytes > 0, 'nothing was written down')
})

finish()
