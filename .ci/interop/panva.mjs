// A real OpenID provider (npm oidc-provider) on loopback: clients get RFC 9068 access tokens for the resource that they name (RFC 8707), by
// client_credentials or, for the one person it knows, by a login that needs no browser. SIGHUP rotates its keys: a new one signs, the one
// before it stays published. Takes PANVA_URL, PANVA_RESOURCE and PANVA_SECRET from the environment.
import { createServer } from 'node:http'
import { randomBytes } from 'node:crypto'
import { exportJWK, generateKeyPair } from 'jose'
import Provider from 'oidc-provider'

const { PANVA_URL: issuer, PANVA_RESOURCE: resource, PANVA_SECRET: secret } = process.env
const person = 'ada'
const scopes = 'orders.read orders.write'
const tokenSeconds = 600

let generation = 0
async function newKey() {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  return { ...(await exportJWK(privateKey)), kid: `panva-${++generation}`, alg: 'RS256', use: 'sig' }
}

function newProvider(keys) {
  return new Provider(issuer, {
    jwks: { keys },
    clients: [
      { client_id: 'batch', client_secret: secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] },
      { client_id: 'shop', client_secret: secret, grant_types: ['authorization_code'], redirect_uris: ['https://shop.example/callback'] },
    ],
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    ttl: { ClientCredentials: tokenSeconds, AccessToken: tokenSeconds, IdToken: tokenSeconds, Interaction: tokenSeconds, Session: tokenSeconds, Grant: tokenSeconds },
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    async loadExistingGrant(ctx) {
      const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId })
      grant.addOIDCScope('openid')
      grant.addResourceScope(resource, scopes)
      await grant.save()
      return grant
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, indicator) => ({
          scope: scopes, audience: indicator, accessTokenFormat: 'jwt', accessTokenTTL: tokenSeconds, jwt: { sign: { alg: 'RS256' } },
        }),
        useGrantedResource: () => true,
      },
    },
  })
}

let keys = [await newKey()]
let provider = newProvider(keys)

process.on('SIGHUP', async () => {
  keys = [await newKey(), keys[0]]
  provider = newProvider(keys)
  console.log(`signs with ${keys[0].kid}`)
})

const server = createServer(async (request, response) => {
  if (!request.url.startsWith('/interaction/')) return provider.callback()(request, response)
  await provider.interactionFinished(request, response, { login: { accountId: person } })
})
server.listen(Number(new URL(issuer).port), '127.0.0.1', () => console.log(`listens at ${issuer}, signs with ${keys[0].kid}`))
