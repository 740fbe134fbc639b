// What the job and the person at panva's provider hold: real tokens, fetched by openid-client.
import * as client from 'openid-client'
import { Browser } from './browser.mjs'

const { PANVA_URL: panva, PANVA_RESOURCE: resource } = process.env
const redirect = 'https://shop.example/callback'

const connect = (clientID) =>
  client.discovery(new URL(panva), clientID, process.env.PANVA_SECRET, undefined, { execute: [client.allowInsecureRequests] })

export async function batchToken(audience = resource) {
  const answer = await client.clientCredentialsGrant(await connect('batch'), { scope: 'orders.read', resource: audience })
  return answer.access_token
}

// login walks through the authorization code flow with PKCE, as a browser would. Returns the person's access token and ID token.
export async function login() {
  const config = await connect('shop')
  const verifier = client.randomPKCECodeVerifier()
  const nonce = client.randomNonce()
  const start = client.buildAuthorizationUrl(config, {
    redirect_uri: redirect, scope: 'openid orders.read', resource, nonce,
    code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  })
  const browser = new Browser()
  const { url: callback, status } = await browser.walk(await browser.open(start), [panva], { login: 'ada' })
  if (!callback.href.startsWith(redirect)) throw new Error(`panva's provider answered ${status} at ${callback.pathname}`)
  const answer = await client.authorizationCodeGrant(config, callback, { pkceCodeVerifier: verifier, expectedNonce: nonce, idTokenExpected: true }, { resource })
  return { accessToken: answer.access_token, idToken: answer.id_token }
}
