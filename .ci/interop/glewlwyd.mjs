// Sets up and speaks to a running glewlwyd through its administration API: one OpenID Connect plugin, one scope, one client, one person.
import { exportJWK, generateKeyPair } from 'jose'

// The administrator of a fresh database; the server listens on loopback and its database is thrown away after the run.
const admin = { username: 'admin', password: 'password' }
const plugin = 'oidc'
const scope = 'orders'
const client = 'nightly'
const person = 'grace'
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
    await this.#call('POST', '/user/', { username: person, password: this.#secret, scope: [scope], enabled: true })
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
    return this.#token({ grant_type: 'password', username: person, password: this.#secret, scope })
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
        'auth-type-code-enabled': false, 'auth-type-token-enabled': false, 'auth-type-id-token-enabled': false,
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
