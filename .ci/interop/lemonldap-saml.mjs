// lemonldap-ng as a SAML identity provider, of a broker of its own (lemonldap-saml.yaml) whose metadata it is given.
import assert from 'node:assert/strict'
import { apps, identityClaims, lemonldap, words } from './app.mjs'
import { Browser } from './browser.mjs'
import { person } from './portal.mjs'
import { finish, step } from './steps.mjs'

const { SAML_URL: broker } = process.env

await step('lemonldap-ng takes our SAML metadata as it is', async () => {
  const metadata = await (await fetch(`${broker}/saml/lemonldap/metadata`)).text()
  const kid = lemonldap.configure({ metadata })
  while (!(await lemonldap.kids()).includes(kid)) await new Promise((wake) => setTimeout(wake, 200))
})

const browser = new Browser()
await step('a person logs in at lemonldap-ng by SAML: a signed request, a signed assertion, a persistent NameID, attributes', async () => {
  const first = await identityClaims((await apps.basic.login(browser)).id_token, 'app-basic')
  assert.match(first.sub, /^lemonldap\|.{10,}$/)
  assert.equal(first.name, person.name)
  assert.ok(browser.visited.some(({ searchParams }) => searchParams.has('Signature')), 'the request was not signed')
  const again = await identityClaims((await apps.basic.login(new Browser())).id_token, 'app-basic')
  assert.equal(again.sub, first.sub, 'another browser, another name')
})

await step('an answer of lemonldap-ng that comes to another browser signs nobody in', async () => {
  const attempt = await apps.basic.begin({ prompt: 'select_account' })
  browser.until = ({ pathname }) => pathname.endsWith('/acs')
  const posted = await browser.open(attempt.url).then((page) => browser.walk(page, [lemonldap.issuer], {}))
  const page = await new Browser().open(posted.url, { method: 'POST', body: posted.init.body })
  assert.ok(page.status >= 400 && !page.outside, `${page.status}: ${words(page)}`)
})

finish()
