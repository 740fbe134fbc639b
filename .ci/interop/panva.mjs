// A real OpenID provider (npm oidc-provider) on loopback, with a login form, a consent form and two people. Clients get RFC 9068 access tokens for
// the resource that they name (RFC 8707), and opaque ones if they name none. SIGHUP makes a new signing key and keeps the one before published; SIGUSR2 withdraws the one before.
// From the environment: PANVA_NAME, PANVA_LISTEN_URL, PANVA_SECRET, PANVA_RESOURCE (and issuer of fedbroker), and PANVA_CLIENT_JWKS, a file: with it
// fedbroker authenticates by private_key_jwt, and claims come in the ID token, else by its secret, and claims come from userinfo.
import { createServer } from 'node:http'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { exportJWK, generateKeyPair } from 'jose'
import Provider from 'oidc-provider'

const { PANVA_NAME: name, PANVA_LISTEN_URL: issuer, PANVA_RESOURCE: fedbroker, PANVA_SECRET: secret, PANVA_CLIENT_JWKS: clientKeys } = process.env
const apiScopes = 'orders.read orders.write'
const lifetime = 600 // seconds, of whatever it makes
const bodyLimit = 4096
const acr = `urn:${name}:2fa`

const people = {
  ada: { name: 'Ada Lovelace', given_name: 'Ada', family_name: 'Lovelace', email: `ada@${name}.example`, email_verified: true, groups: ['eng-orders', 'staff'] },
  ben: { name: 'Ben <b>Bold</b>', given_name: 'Ben', family_name: '<b>Bold</b>', email: 'ben@elsewhere.example', email_verified: true, groups: ['staff'] },
}

let generation = 0
async function newKey() {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  return { ...(await exportJWK(privateKey)), kid: `${name}-${++generation}`, alg: 'RS256', use: 'sig' }
}

const cookieKeys = [randomBytes(32).toString('base64url')]
const upstreamClient = {
  client_id: 'fedbroker', redirect_uris: [`${fedbroker}/callback/${name}`],
  ...(clientKeys
    ? { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks: JSON.parse(readFileSync(clientKeys, 'utf8')) }
    : { client_secret: secret, token_endpoint_auth_method: 'client_secret_basic' }),
}

function newProvider(keys) {
  return new Provider(issuer, {
    jwks: { keys },
    clients: [
      upstreamClient,
      { client_id: 'batch', client_secret: secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] },
      { client_id: 'shop', client_secret: secret, grant_types: ['authorization_code'], redirect_uris: ['https://shop.example/callback'] },
      { client_id: 'till', client_secret: secret, grant_types: ['authorization_code'], redirect_uris: ['https://till.example/callback'] },
    ],
    // Cookies ignore ports: two providers and the broker share one host here.
    cookies: { keys: cookieKeys, names: { session: `${name}_session`, interaction: `${name}_interaction`, resume: `${name}_resume` } },
    ttl: { ClientCredentials: lifetime, AccessToken: lifetime, IdToken: lifetime, Interaction: lifetime, Session: lifetime, Grant: lifetime },
    acrValues: [acr],
    claims: { openid: ['sub', 'acr', 'amr', 'auth_time'], profile: ['name', 'given_name', 'family_name'], email: ['email', 'email_verified'], groups: ['groups'] },
    scopes: ['openid', 'groups'],
    conformIdTokenClaims: !clientKeys,
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_ctx, sub) => sub in people ? { accountId: sub, claims: () => ({ sub, ...people[sub] }) } : undefined,
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, indicator) => ({
          scope: apiScopes, audience: indicator, accessTokenFormat: 'jwt', accessTokenTTL: lifetime, jwt: { sign: { alg: 'RS256' } },
        }),
        useGrantedResource: () => true,
      },
    },
  })
}

let keys = [await newKey()]
let provider = newProvider(keys)

function rotate(kept) {
  return async () => {
    keys = [await newKey(), ...keys.slice(0, kept)]
    provider = newProvider(keys)
    console.log(`signs with ${keys[0].kid}`)
  }
}
process.on('SIGHUP', rotate(1))
process.on('SIGUSR2', rotate(0))

const page = (title, form) => `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>
<link rel="icon" href="data:,"><h1>${title} at ${name}</h1><form method="post">${form}</form></html>`
const forms = {
  login: page('Sign in', '<label>Login <input name="login" autofocus></label> <button type="submit">Sign in</button>'),
  consent: page('Consent', '<button type="submit">Allow</button> <button type="submit" name="deny" value="yes">Deny</button>'),
}

// decide turns what a person sent by a form into the result of the interaction.
async function decide({ prompt, params, session, grantId }, form) {
  if (form.has('deny')) return { error: 'access_denied', error_description: 'the person said no: <script>alert(1)</script>' }
  if (prompt.name === 'login') return { login: { accountId: form.get('login'), acr, amr: ['pwd', 'otp'] } }
  const grant = grantId ? await provider.Grant.find(grantId) : new provider.Grant({ accountId: session.accountId, clientId: params.client_id })
  if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '))
  for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) grant.addResourceScope(resource, scopes.join(' '))
  return { consent: { grantId: await grant.save() } }
}

async function interact(request, response) {
  const details = await provider.interactionDetails(request, response)
  if (request.method !== 'POST') return response.setHeader('content-type', 'text/html').end(forms[details.prompt.name])
  if (Number(request.headers['content-length']) > bodyLimit) return response.writeHead(413).end()
  const result = await decide(details, new URLSearchParams(await text(request)))
  if (result.login && !(result.login.accountId in people)) return response.writeHead(400, { 'content-type': 'text/html' }).end(forms.login)
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true })
}

const server = createServer((request, response) => {
  if (request.url === '/favicon.ico') return response.writeHead(204).end() // its own pages name none
  if (!request.url.startsWith('/interaction/')) return provider.callback()(request, response)
  return interact(request, response).catch((error) => {
    console.log(error)
    response.writeHead(400, { 'content-type': 'text/plain' }).end('this interaction is none')
  })
})
server.listen(Number(new URL(issuer).port), '127.0.0.1', () => console.log(`listens at ${issuer}, signs with ${keys[0].kid}`))
