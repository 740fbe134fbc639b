// A function that reads orders, on Cloud Run or on Azure, and holds no secret: its platform signs a token that says which function it is, the broker swaps that for one of the
// orders API. Node's own fetch, nothing to install.
import { createServer } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'

const {
  BROKER_URL: broker, // https://login.example.com
  PLATFORM_AUDIENCE: platformAudience, // what the platform's token is for: see README.md
  ORDERS_API_URL: orders, // https://orders.example.com, which is its audience, too
  PORT: port = '8080',
} = process.env

const renewSeconds = 30 // before its end a token is swapped for a new one
const tries = 3

const platforms = {
  // Cloud Run, Cloud Functions, Compute Engine: https://cloud.google.com/run/docs/securing/service-identity#identity_tokens
  async google() {
    const url = new URL(`http://${process.env.GCE_METADATA_HOST ?? 'metadata.google.internal'}/computeMetadata/v1/instance/service-accounts/default/identity`)
    url.search = new URLSearchParams({ audience: platformAudience })
    return (await good(await fetch(url, { headers: { 'Metadata-Flavor': 'Google' } }))).text()
  },
  // Container Apps, App Service, Functions: https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
  async azure() {
    const url = new URL(process.env.IDENTITY_ENDPOINT)
    url.search = new URLSearchParams({ resource: platformAudience, 'api-version': '2019-08-01' })
    const answer = await good(await fetch(url, { headers: { 'X-IDENTITY-HEADER': process.env.IDENTITY_HEADER } }))
    return (await answer.json()).access_token
  },
}
const platformToken = process.env.IDENTITY_ENDPOINT ? platforms.azure : platforms.google

async function good(answer) {
  if (!answer.ok) throw new Error(`${new URL(answer.url).host} answers ${answer.status}`)
  return answer
}

// swap asks the broker (RFC 8693 §2.1); one that asks to come back later gets another try.
async function swap() {
  const body = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    subject_token: await platformToken(),
    audience: orders,
  })
  for (let left = tries; ; left--) {
    const answer = await fetch(`${broker}/token`, { method: 'POST', body })
    const told = await answer.json()
    if (answer.ok) return { token: told.access_token, until: Date.now() + (told.expires_in - renewSeconds) * 1000 }
    if (answer.status !== 503 || left === 1) throw new Error(`the broker answers ${told.error}, decision ${told.decision_id}`)
    await pause(Number(answer.headers.get('retry-after')) * 1000)
  }
}

// ordersToken swaps once for all calls that come while what it has is good.
let held
async function ordersToken() {
  if (held === undefined || held.until <= Date.now()) {
    held = swap()
    held.then(({ until }) => { held.until = until }, () => { held = undefined }) // after a failure the next call tries again
  }
  return (await held).token
}

createServer(async (request, response) => {
  try {
    const answer = await good(await fetch(`${orders}/orders`, { headers: { authorization: `Bearer ${await ordersToken()}` } }))
    response.writeHead(200, { 'content-type': 'application/json' }).end(await answer.text())
  } catch (error) {
    console.error(error.message)
    response.writeHead(502).end()
  }
}).listen(Number(port))
