// Keycloak as a SAML identity provider, of a broker of its own (saml.yaml). `saml.mjs certificates` makes Keycloak and the broker know each other, before that is started.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { decodeJwt } from 'jose'
import { Browser } from './browser.mjs'
import { Realm, person } from './realm.mjs'
import { finish, keep, secret, step } from './steps.mjs'

const { KEYCLOAK_URL: url, SAML_URL: broker, WORK: work } = process.env
const realm = new Realm({ url, resource: broker, secret: secret('keycloak.secret') })

if (process.argv[2] === 'certificates') {
  await step('Keycloak gets a SAML client that signs its requests, and gives its certificate', async () => {
    const theirs = await realm.allowSAML({
      entityID: `${broker}/saml/keycloak/metadata`, acs: `${broker}/saml/keycloak/acs`, certificate: readFileSync(`${work}/saml/sp.crt`, 'utf8').replace(/-----[A-Z ]+-----|\s/g, ''),
    })
    writeFileSync(`${work}/saml/keycloak.crt`, `-----BEGIN CERTIFICATE-----\n${theirs}\n-----END CERTIFICATE-----\n`)
  })
} else {
  const { apps, identityClaims, words } = await import('./app.mjs')
  const browser = new Browser()
  const first = await step('a person logs in at Keycloak by SAML: a signed request, a signed assertion, a persistent NameID, attributes', async () => {
    const answer = await apps.basic.login(browser)
    const claims = await identityClaims(answer.id_token, 'app-basic')
    assert.match(claims.sub, /^keycloak\|.{10,}$/)
    assert.equal(claims.given_name, person.firstName)
    assert.ok(browser.visited.some(({ pathname }) => pathname.endsWith('/saml/keycloak/acs')), 'not answered by POST')
    assert.ok(browser.visited.some(({ searchParams }) => searchParams.has('Signature')), 'the request was not signed')
    return claims
  })
  await step('a session at Keycloak signs the same person in, and prompt=login makes Keycloak ask again', async () => {
    const again = decodeJwt((await apps.basic.login(browser, { prompt: 'select_account' })).id_token)
    assert.equal(again.sub, first.sub) // its AuthnInstant is that of the assertion, not of the password
    const mark = browser.visited.length
    const anew = decodeJwt((await apps.basic.login(browser, { prompt: 'login' })).id_token)
    assert.equal(anew.sub, first.sub)
    assert.ok(browser.visited.slice(mark).some(({ pathname }) => pathname.includes('login-actions')), 'nobody was asked for a password')
    assert.ok(anew.auth_time >= first.auth_time)
  })
  await step('a SAML response that was changed, or comes to another browser, signs nobody in', async () => {
    for (const [who, change] of [[browser, (xml) => xml.replace('<saml:AttributeValue', '<saml:AttributeValue x="y"')], [new Browser(), (xml) => xml]]) {
      const attempt = await apps.basic.begin({ prompt: 'select_account' })
      browser.until = ({ pathname }) => pathname.endsWith('/acs')
      const posted = await browser.open(attempt.url).then((page) => realm.pass(browser, page))
      browser.until = () => false
      const fields = new URLSearchParams(posted.init.body)
      const xml = Buffer.from(fields.get('SAMLResponse'), 'base64').toString()
      fields.set('SAMLResponse', Buffer.from(change(xml)).toString('base64'))
      keep(fields.get('SAMLResponse'))
      const page = await who.open(posted.url, { method: 'POST', body: fields })
      assert.ok(page.status >= 400 && !page.outside, `${page.status}: ${words(page)}`)
    }
  })
}

finish()
