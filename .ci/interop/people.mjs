// What the job and the person at panva's provider hold: real tokens, fetched by openid-client.
import * as client from 'openid-client'
import { Browser } from './browser.mjs'

const { PANVA_URL: panva, PANVA_RESOURCE: resource } = process.env

const connect = (clientID) =>
  client.discovery(new URL(panva), clientID, process.env.PANVA_SECRET, undefined, { execute: [client.allowInsecureRequests] })

export async function batchToken(audience = resource) {
  const answer = await client.clientCredentialsGrant(await connect('batch'), { scope: 'orders.read', resource: audience })
  return answer.access_token
}

// person walks through the authorization code flow with PKCE at one of the provider's apps, as a browser would. For a resource the access token is a JWT, without one it is opaque.
async function person(app, resource) {
  const redirect = `https://${app}.example/callback`
  const config = await connect(app)
  const verifier = client.randomPKCECodeVerifier()
  const nonce = client.randomNonce()
  const start = client.buildAuthorizationUrl(config, {
    redirect_uri: redirect, scope: 'openid orders.read', nonce, ...resource,
    code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  })
  const browser = new Browser()
  const { url: callback, status } = await browser.walk(await browser.open(start), [panva], { login: 'ada' })
  if (!callback.href.startsWith(redirect)) throw new Error(`panva's provider answered ${status} at ${callback.pathname}`)
  const answer = await client.authorizationCodeGrant(config, callback, { pkceCodeVerifier: verifier, expectedNonce: nonce, idTokenExpected: true }, resource)
  return { accessToken: answer.access_token, idToken: answer.id_token }
}

export const login = () => person('shop', { resource })

// opaqueToken is a person's token that says nothing by itself.
export const opaqueToken = async () => (await person('till')).accessToken

// withdraw ends a token at the provider.
export const withdraw = async (token) => client.tokenRevocation(await connect('till'), token)
