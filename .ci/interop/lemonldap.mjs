// lemonldap-ng as the identity provider: a person's login, refresh and logout, and a signing key that is replaced while people log in.
import assert from 'node:assert/strict'
import { decodeJwt } from 'jose'
import * as client from 'openid-client'
import { accessClaims, apps, identityClaims, issuer, lemonldap, words } from './app.mjs'
import { Browser } from './browser.mjs'
import { person } from './portal.mjs'
import { finish, step } from './steps.mjs'

const hint = { idp_hint: 'lemonldap' }
const browser = new Browser()
const tokens = await step('a person logs in at lemonldap-ng: PKCE, claims', async () => {
  const answer = await apps.basic.login(browser, hint)
  const claims = await identityClaims(answer.id_token, 'app-basic')
  assert.deepEqual([claims.sub, claims.name, claims.email], [`lemonldap|${person.user}`, person.name, person.email])
  assert.deepEqual([claims.upstream.iss, claims.iss], [lemonldap.issuer, issuer])
  return answer
})

if (tokens) {
  const { sub } = decodeJwt(tokens.id_token)
  await step('userinfo and refresh after a login at lemonldap-ng', async () => {
    assert.equal((await client.fetchUserInfo(apps.basic.config, tokens.access_token, sub)).email, person.email)
    const next = await apps.basic.refresh(tokens.refresh_token)
    assert.deepEqual([decodeJwt(next.id_token).sub, (await accessClaims(next.access_token)).sub], [sub, sub])
  })
  await step('logout after a login at lemonldap-ng: back at the app, and nobody is signed in', async () => {
    const page = await browser.open(client.buildEndSessionUrl(apps.basic.config, {
      id_token_hint: tokens.id_token, post_logout_redirect_uri: 'https://basic.example/', state: 'bye',
    }))
    assert.equal(page.url.href, 'https://basic.example/?state=bye', words(page))
    const attempt = await apps.basic.begin({ prompt: 'none' })
    assert.equal(await apps.basic.refused(attempt, await browser.open(attempt.url)), 'login_required')
  })
}

await step('lemonldap-ng replaces its key while people log in: nobody is turned away for good', async () => {
  const kid = lemonldap.configure()
  let [refused, patience] = [0, Date.now() + 120_000]
  for (let published = false; ;) {
    published ||= (await lemonldap.kids()).includes(kid)
    // an unknown key makes the broker look, at most once a minute: until then it answers 503, and the person tries again
    const signedIn = await apps.basic.login(new Browser(), hint).then(() => true, (error) => {
      if (Date.now() > patience) throw error
      return false
    })
    if (signedIn && published) break
    if (!signedIn) {
      refused++
      await new Promise((wake) => setTimeout(wake, 1000))
    }
  }
  assert.ok(refused < 70, `${refused} logins were refused`)
})

finish()
