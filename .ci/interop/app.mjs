// Apps of fedbroker on npm openid-client, and the people who log in at them.
import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { createRemoteJWKSet, importJWK, jwtVerify } from 'jose'
import { connect } from './broker.mjs'
import { Glewlwyd } from './glewlwyd.mjs'
import { Portal } from './portal.mjs'
import { Realm } from './realm.mjs'
import { keep, secret } from './steps.mjs'

export const { BROKER_URL: issuer, PANVA_URL: panva, BETA_URL: beta } = process.env
export const origin = new URL(issuer).origin // the issuer may have a path
export const glewlwyd = process.env.GLEWLWYD_URL &&
  new Glewlwyd({ url: process.env.GLEWLWYD_URL, resource: issuer, secret: secret('glewlwyd.secret') })
export const keycloak = process.env.KEYCLOAK_URL &&
  new Realm({ url: process.env.KEYCLOAK_URL, resource: issuer, secret: secret('keycloak.secret') })
export const lemonldap = process.env.LEMONLDAP_URL &&
  new Portal({ url: process.env.LEMONLDAP_URL, folder: `${process.env.WORK}/lemonldap`, resource: issuer })

export class App {
  // proof is {} or {DPoP}: the key that its tokens are bound to.
  constructor(config, redirectURI, scope, proof = {}) {
    Object.assign(this, { config, redirectURI, scope, proof })
  }

  // begin makes an authorization request; PKCE, state and nonce are the app's own.
  async begin(parameters = {}) {
    const verifier = keep(client.randomPKCECodeVerifier())
    const [state, nonce] = [client.randomState(), client.randomNonce()]
    const url = client.buildAuthorizationUrl(this.config, {
      redirect_uri: this.redirectURI, scope: this.scope, state, nonce,
      code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...parameters,
    })
    return { url, verifier, state, nonce }
  }

  // finish redeems what came to the redirect URI. openid-client checks state, iss (RFC 9207), nonce and the ID token.
  async finish(attempt, page, checks = {}) {
    assert.ok(page.url.href.startsWith(this.redirectURI), `the browser is not back at the app but at ${page.url.origin}${page.url.pathname}: ${page.status} ${words(page)}`)
    if (page.parameters.has('code')) keep(page.parameters.get('code'))
    const answer = page.init?.body ? new Request(page.url, { method: 'POST', body: page.parameters }) : page.url
    return kept(await client.authorizationCodeGrant(this.config, answer, {
      pkceCodeVerifier: attempt.verifier, expectedState: attempt.state, expectedNonce: attempt.nonce, idTokenExpected: true, ...checks,
    }, undefined, this.proof))
  }

  // login is a whole login in a browser.
  async login(browser, parameters, who) {
    const attempt = await this.begin(parameters)
    return this.finish(attempt, await signIn(browser, await browser.open(attempt.url), who))
  }

  // refused expects an error at the redirect URI, with the app's state and our iss, and returns its code.
  async refused(attempt, page) {
    const error = await this.finish(attempt, page).then(() => assert.fail('the app got a code'), (reason) => reason)
    if (!(error instanceof client.AuthorizationResponseError)) throw error
    return error.error
  }

  async refresh(token, parameters) {
    return kept(await client.refreshTokenGrant(this.config, token, parameters, this.proof))
  }

  async active(token) {
    return (await client.tokenIntrospection(this.config, token)).active
  }
}

function kept(tokens) {
  for (const name of ['access_token', 'id_token', 'refresh_token']) if (tokens[name]) keep(tokens[name])
  return tokens
}

const basic = (id) => client.ClientSecretBasic(secret(`${id}.secret`))
const key = JSON.parse(secret('app-key.private.jwk'))
export const apps = {
  basic: new App(await connect('app-basic', basic('app-basic')), 'https://basic.example/callback', 'openid profile email groups offline_access'),
  post: new App(await connect('app-post', client.ClientSecretPost(secret('app-post.secret'))), 'https://post.example/callback', 'openid profile'),
  key: new App(await connect('app-key', client.PrivateKeyJwt({ key: await importJWK(key, 'ES256'), kid: key.kid })), 'https://key.example/callback', 'openid email realm'),
}

const keys = createRemoteJWKSet(new URL(apps.basic.config.serverMetadata().jwks_uri), { cooldownDuration: 0 })

// accessClaims verifies an access token as our own API would (RFC 9068 §4).
export async function accessClaims(token, audience = issuer) {
  const { payload } = await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt', algorithms: ['ES256'], requiredClaims: ['exp', 'iat', 'sub', 'client_id', 'jti'] })
  return payload
}

// identityClaims verifies an ID token's signature and what an app compares.
export async function identityClaims(token, audience, algorithms = ['ES256']) {
  const { payload } = await jwtVerify(token, keys, { issuer, audience, algorithms, requiredClaims: ['exp', 'iat', 'sub', 'sid'] })
  return payload
}

// signIn does what a person does at the pages of the identity providers, until the app or a page of the broker that wants a decision.
export async function signIn(browser, page, who = {}) {
  const values = { login: 'ada', ...who }
  for (let step = 0; step < 5 && !page.outside; step++) {
    if (glewlwyd?.owns(page)) page = await glewlwyd.signIn(browser, page)
    else if (keycloak?.owns(page)) page = await keycloak.signIn(browser, page)
    else if (lemonldap?.owns(page)) page = await lemonldap.signIn(browser, page)
    else if ([panva, beta].includes(page.url.origin)) page = await browser.walk(page, [panva, beta], values)
    else if (carriesOn(page)) page = await browser.submit(page.forms[0])
    else break
  }
  return page
}

// carriesOn tells whether a page of the broker only hands an answer to the app (response mode form_post).
const carriesOn = (page) => page.url.origin === origin && page.status === 200 && page.forms.length === 1 && page.forms[0].action.origin !== origin

// words is what a page says, for failures of steps.
export const words = ({ html }) => html.replace(/<(style|script)[\s\S]*?<\/\1>|<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim().slice(0, 300)

// apology checks what a page that refuses owes the person: a status, a reference, and no markup of strangers.
export function apology(page, ...statuses) {
  assert.ok(statuses.includes(page.status), `${page.status}: ${words(page)}`)
  assert.match(page.headers.get('content-type'), /^text\/html/)
  assert.match(page.headers.get('content-security-policy'), /default-src 'none'/)
  assert.match(page.html, /[A-Z2-7]{26}/, 'no decision id')
  assert.doesNotMatch(page.html, /<script>alert/)
}

// wayBack takes the way that a page of the broker offers back to the app.
export async function wayBack(browser, page, app) {
  const link = page.links.find(({ href }) => href.startsWith(app.redirectURI))
  if (link) return browser.open(link)
  const form = page.forms.find(({ action }) => action.href === app.redirectURI)
  assert.ok(form, `no way back to the app: ${words(page)}`)
  return browser.submit(form)
}
