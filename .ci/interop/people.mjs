// What the job and the person at panva's provider hold: real tokens, fetched by openid-client.
import * as client from 'openid-client'

const resource = process.env.PANVA_RESOURCE
const redirect = 'https://shop.example/callback'
const maxHops = 10

const connect = (clientID) =>
  client.discovery(new URL(process.env.PANVA_URL), clientID, process.env.PANVA_SECRET, undefined, { execute: [client.allowInsecureRequests] })

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
  const callback = await follow(start)
  const answer = await client.authorizationCodeGrant(config, callback, { pkceCodeVerifier: verifier, expectedNonce: nonce, idTokenExpected: true }, { resource })
  return { accessToken: answer.access_token, idToken: answer.id_token }
}

async function follow(url) {
  const jar = new Map()
  for (let hop = 0; hop < maxHops; hop++) {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const answer = await fetch(url, { redirect: 'manual', headers: cookie ? { cookie } : {} })
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)
      jar.set(name, value)
    }
    const location = answer.headers.get('location')
    if (location === null) throw new Error(`panva's provider answered ${answer.status} at ${url.pathname}`)
    url = new URL(location, url)
    if (url.href.startsWith(redirect)) return url
  }
  throw new Error('panva\'s provider redirects without end')
}
