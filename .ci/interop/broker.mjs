// fedbroker's endpoints as npm openid-client calls them.
import * as client from 'openid-client'
import { setTimeout as pause } from 'node:timers/promises'

export const exchangeGrant = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const accessToken = 'urn:ietf:params:oauth:token-type:access_token'
export const jwtToken = 'urn:ietf:params:oauth:token-type:jwt'

const issuer = new URL(process.env.BROKER_URL)
const plainLoopback = { execute: [client.allowInsecureRequests] }

// connect discovers fedbroker for one registered client; algorithm is oidc (OpenID discovery) or oauth2 (RFC 8414).
export function connect(clientID, authentication, algorithm = 'oidc') {
  return client.discovery(issuer, clientID, undefined, authentication, { ...plainLoopback, algorithm })
}

// exchange swaps a subject token (RFC 8693 §2.1). An answer that asks to come back later (503 with Retry-After: the upstream's keys are not
// known yet, and fedbroker asks for unknown ones once a minute at most) is followed, as a caller should.
export async function exchange(config, subject, parameters = {}) {
  if (typeof subject !== 'string') throw new TypeError('no subject token to exchange')
  const form = { subject_token: subject, subject_token_type: accessToken, audience: 'https://orders.example', ...parameters }
  const deadline = Date.now() + 90_000
  for (;;) {
    try {
      return await client.genericGrantRequest(config, exchangeGrant, form)
    } catch (error) {
      const after = error.cause instanceof Response && error.cause.status === 503 ? Number(error.cause.headers.get('retry-after')) : 0
      if (!(after > 0) || Date.now() + after * 1000 > deadline) throw error
      console.log(`     fedbroker asks to come back in ${after} s`)
      await pause(after * 1000)
    }
  }
}

// denial expects a refusal and returns it as openid-client shows it.
export async function denial(promise) {
  try {
    await promise
  } catch (error) {
    if (error instanceof client.ResponseBodyError) return error
    throw error
  }
  throw new Error('the request was granted')
}
