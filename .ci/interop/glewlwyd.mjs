// Sets up and speaks to a running glewlwyd through its administration API: one OpenID Connect plugin, one API scope, a job's client, fedbroker as
// a client, one person. Its login page is a program for a browser's JavaScript; signIn calls what that program calls.
import { exportJWK, generateKeyPair } from 'jose'

// The administrator of a fresh database; the server listens on loopback and its database is thrown away after the run.
const admin = { username: 'admin', password: 'password' }
const plugin = 'oidc'
const scope = 'orders'
const client = 'nightly'
const upstreamClient = 'fedbroker'
export const person = { username: 'grace', name: 'Grace Hopper', email: 'grace@glewlwyd.example' }
const tokenSeconds = 600

export class Glewlwyd {
  #url
  #resource
  #secret
  #cookie
  #generation = 0

  constructor({ url, resource, secret }) {
    this.#url = url
    this.#resource = resource
    this.#secret = secret
  }

  get issuer() {
    return `${this.#url}/api/${plugin}`
  }

  async setUp() {
    const answer = await this.#call('POST', '/auth', admin)
    this.#cookie = answer.headers.get('set-cookie').split(';')[0]
    await this.#call('POST', '/scope/', { name: scope, display_name: scope, password_required: true, scheme: {} })
    await this.#call('POST', '/mod/plugin/', await this.#plugin())
    await this.#call('POST', '/client/', {
      client_id: client, password: this.#secret, confidential: true, enabled: true, scope: [scope],
      authorization_type: ['client_credentials', 'password'], token_endpoint_auth_method: ['client_secret_basic'],
    })
    await this.#call('POST', '/client/', {
      client_id: upstreamClient, password: this.#secret, confidential: true, enabled: true, scope: [],
      authorization_type: ['code'], redirect_uri: [`${this.#resource}/callback/glewlwyd`], token_endpoint_auth_method: ['client_secret_basic'],
    })
    await this.#call('POST', '/user/', { ...person, password: this.#secret, scope: [scope, 'openid'], enabled: true })
  }

  // owns tells whether a page is glewlwyd's login page.
  owns(page) {
    return page.url.origin === this.#url && page.url.searchParams.has('callback_url')
  }

  // signIn does what the login page does: the password, the consent, and back to where the person was going. Returns the page after it.
  async signIn(browser, page) {
    const send = async (method, path, body) => {
      const answer = await browser.fetch(`${this.#url}/api${path}`, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
      if (!answer.ok) throw new Error(`glewlwyd: ${method} ${path} answered ${answer.status}`)
    }
    await send('POST', '/auth/', { username: person.username, password: this.#secret })
    await send('PUT', `/auth/grant/${upstreamClient}/`, { scope: 'openid' })
    return browser.open(`${page.url.searchParams.get('callback_url')}&g_continue`)
  }

  // rotate replaces the only key: what it signed before is good nowhere any more.
  async rotate() {
    await this.#call('PUT', `/mod/plugin/${plugin}`, await this.#plugin())
    await this.#call('PUT', `/mod/plugin/${plugin}/reset`)
  }

  // clientToken is the client's own, for the resource.
  clientToken() {
    return this.#token({ grant_type: 'client_credentials', scope, resource: this.#resource })
  }

  // personToken is the person's, through the client. glewlwyd gives it the scope as its audience.
  personToken() {
    return this.#token({ grant_type: 'password', username: person.username, password: this.#secret, scope })
  }

  async #token(form) {
    const answer = await fetch(`${this.issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${client}:${this.#secret}`)}` },
      body: new URLSearchParams(form),
    })
    if (!answer.ok) throw new Error(`glewlwyd's token endpoint answered ${answer.status}`)
    return (await answer.json()).access_token
  }

  async #plugin() {
    const kid = `glewlwyd-${++this.#generation}`
    const { privateKey } = await generateKeyPair('ES256', { extractable: true })
    const key = { ...(await exportJWK(privateKey)), kid, alg: 'ES256', use: 'sig' }
    return {
      module: 'oidc', name: plugin, display_name: plugin, order_rank: 0, readonly: false,
      parameters: {
        iss: this.issuer,
        'jwt-type': 'ecdsa', 'jwt-key-size': '256', 'jwks-private': JSON.stringify({ keys: [key] }), 'jwks-show': true,
        'access-token-duration': tokenSeconds, 'refresh-token-duration': tokenSeconds, 'code-duration': 60, 'refresh-token-rolling': false,
        'allow-non-oidc': true, 'auth-type-client-enabled': true, 'auth-type-password-enabled': true,
        'auth-type-code-enabled': true, 'pkce-allowed': true, 'pkce-required': true, 'oauth-as-iss-id': true, 'name-claim': 'mandatory', 'email-claim': 'mandatory',
        'auth-type-token-enabled': false, 'auth-type-id-token-enabled': false,
        'auth-type-none-enabled': false, 'auth-type-device-enabled': false, 'auth-type-refresh-enabled': false,
        'resource-allowed': true, 'resource-scope': { [scope]: [this.#resource] }, 'resource-client-property': '',
        'resource-scope-and-client-property': false, 'additional-parameters': [],
      },
    }
  }

  async #call(method, path, body) {
    const answer = await fetch(`${this.#url}/api${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...(this.#cookie && { cookie: this.#cookie }) },
      body: body && JSON.stringify(body),
    })
    if (!answer.ok) throw new Error(`glewlwyd: ${method} ${path} answered ${answer.status}: ${await answer.text()}`)
    return answer
  }
}
