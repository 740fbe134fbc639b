// Sets up and speaks to one realm of a running Keycloak through its administration API: a job's client, fedbroker as a client, one person.
const realm = 'acme'
const tokenSeconds = 600
const upstreamClient = 'fedbroker'
export const job = 'nightly'
export const person = { username: 'kay', firstName: 'Kay', lastName: 'McNulty', email: 'kay@keycloak.example' }

export class Realm {
  #url
  #resource
  #secret
  #priority = 1000

  constructor({ url, resource, secret }) {
    Object.assign(this, { issuer: `${url}/realms/${realm}` })
    this.#url = url
    this.#resource = resource
    this.#secret = secret
  }

  async setUp() {
    const confidential = { enabled: true, publicClient: false, secret: this.#secret, directAccessGrantsEnabled: false }
    const audience = {
      name: 'fedbroker', protocol: 'openid-connect', protocolMapper: 'oidc-audience-mapper',
      config: { 'included.custom.audience': this.#resource, 'access.token.claim': 'true', 'id.token.claim': 'false' },
    }
    await this.#call('POST', '', {
      realm, enabled: true, accessTokenLifespan: tokenSeconds,
      clients: [
        { ...confidential, clientId: upstreamClient, redirectUris: [`${this.#resource}/callback/keycloak`], attributes: { 'pkce.code.challenge.method': 'S256' } },
        { ...confidential, clientId: job, standardFlowEnabled: false, serviceAccountsEnabled: true, protocolMappers: [audience] },
      ],
      users: [{ ...person, enabled: true, emailVerified: true, credentials: [{ type: 'password', value: this.#secret, temporary: false }] }],
    })
  }

  // allowSAML makes a broker known as a SAML service provider that signs its requests, and returns the realm's signing certificate.
  async allowSAML({ entityID, acs, certificate }) {
    const attribute = (property, name) => ({
      name, protocol: 'saml', protocolMapper: 'saml-user-property-mapper', config: { 'user.attribute': property, 'attribute.name': name, 'attribute.nameformat': 'Basic' },
    })
    await this.#call('POST', `/${realm}/clients`, {
      clientId: entityID, protocol: 'saml', enabled: true, redirectUris: [acs], protocolMappers: [attribute('firstName', 'given_name'), attribute('email', 'email')],
      attributes: {
        'saml.assertion.signature': 'true', 'saml.server.signature': 'false', 'saml.client.signature': 'true', 'saml.signing.certificate': certificate,
        'saml.signature.algorithm': 'RSA_SHA256', saml_name_id_format: 'persistent', 'saml.force.post.binding': 'true', 'saml.authnstatement': 'true',
        saml_assertion_consumer_url_post: acs,
      },
    })
    const { keys } = await (await this.#call('GET', `/${realm}/keys`)).json()
    return keys.find(({ use, algorithm, status }) => use === 'SIG' && algorithm === 'RS256' && status === 'ACTIVE').certificate
  }

  // pass goes on from a page of Keycloak that only carries an answer on.
  pass(browser, page) {
    return browser.walk(page, [this.#url], {})
  }

  // owns tells whether a page is Keycloak's login page.
  owns(page) {
    return page.url.origin === this.#url
  }

  // signIn fills in the login form. Returns the page after it.
  signIn(browser, page) {
    return browser.walk(page, [this.#url], { username: person.username, password: this.#secret })
  }

  // rotate makes a new signing key, which signs from now on; the ones before stay in the key set.
  async rotate() {
    const { id: parentId } = await (await this.#call('GET', `/${realm}`)).json()
    await this.#call('POST', `/${realm}/components`, {
      name: `rsa-${++this.#priority}`, parentId, providerId: 'rsa-generated', providerType: 'org.keycloak.keys.KeyProvider',
      config: { priority: [String(this.#priority)], enabled: ['true'], active: ['true'], algorithm: ['RS256'], keySize: ['2048'] },
    })
  }

  // withdraw takes a signing key out of the key set, as one that was stolen.
  async withdraw(kid) {
    const { keys } = await (await this.#call('GET', `/${realm}/keys`)).json()
    await this.#call('DELETE', `/${realm}/components/${keys.find((key) => key.kid === kid).providerId}`)
  }

  // jobToken is the job's own, for the broker.
  async jobToken() {
    return (await this.#token(this.issuer, { grant_type: 'client_credentials', client_id: job, client_secret: this.#secret })).access_token
  }

  async #token(issuer, form) {
    const answer = await fetch(`${issuer}/protocol/openid-connect/token`, { method: 'POST', body: new URLSearchParams(form) })
    if (!answer.ok) throw new Error(`Keycloak's token endpoint answered ${answer.status}`)
    return answer.json()
  }

  async #call(method, path, body) {
    const { access_token: token } = await this.#token(`${this.#url}/realms/master`, { grant_type: 'password', client_id: 'admin-cli', username: 'admin', password: this.#secret })
    const answer = await fetch(`${this.#url}/admin/realms${path}`, {
      method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: body && JSON.stringify(body),
    })
    if (!answer.ok) throw new Error(`Keycloak: ${method} ${path} answered ${answer.status}: ${await answer.text()}`)
    return answer
  }
}
