// examples/serverless: the function itself, between a platform that signs for it and the orders API.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as freePort } from 'node:net'
import { join } from 'node:path'
import { API, Example, Issuer, serving, tls } from '../example.mjs'
import { step, until } from '../steps.mjs'

// What the platforms sign, in the form that they document.
const iat = 1_800_000_000
const account = '109876543210987654321'
const google = {
  iss: 'https://accounts.google.com', aud: 'https://login.example.com', sub: account, azp: account, email: 'shop@our-project.iam.gserviceaccount.com', email_verified: true,
  iat, exp: iat + 3600,
}
const [tenant, identity] = ['5f1c2d3e-4a5b-4c6d-8e7f-9a0b1c2d3e4f', '0b1c2d3e-4f5a-4b6c-9d7e-8f9a0b1c2d3e']
const azure = {
  ver: '2.0', iss: `https://login.microsoftonline.com/${tenant}/v2.0`, aud: '6cb04018-a3f5-46a7-b995-940c78f5aef3', sub: identity, oid: identity, tid: tenant, idtyp: 'app',
  azp: '1f2e3d4c-5b6a-4978-8695-a4b3c2d1e0f9', azpacr: '2', rh: '0.AXEAexample.', uti: 'fqiBqXLPj0eQa82S-IYFAA', iat, nbf: iat, exp: iat + 86_400,
}

async function listening(server) {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return server.address().port
}

export async function serverless(port) {
  const example = new Example('serverless')
  const issuer = await Issuer.create()
  example.file('platforms.jwks', issuer.keySet())
  for (const { iss } of [google, azure]) example.configure({ [`issuer: ${iss} `]: `issuer: ${iss}\n    jwks_file: platforms.jwks ` })

  // called runs the function beside its platform, calls it twice and returns what the platform was asked for. answer says what the platform tells whoever asks it.
  async function called(api, environment, answer) {
    const asked = []
    const platform = createServer(async (request, response) => {
      asked.push(new URL(request.url, 'http://platform'))
      response.end(await answer(request, asked.at(-1)))
    })
    const platformPort = await listening(platform)
    const log = openSync(join(example.dir, 'function.log'), 'a')
    const probe = freePort()
    const functionPort = await listening(probe)
    await new Promise((done) => probe.close(done))
    const child = example.spawn(process.execPath, [join(example.dir, 'function.mjs')], {
      env: {
        PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: tls.cert, PORT: String(functionPort), BROKER_URL: 'https://login.example.com', ORDERS_API_URL: 'https://orders.example.com',
        NODE_OPTIONS: `--import=${new URL('../loopback.mjs', import.meta.url)}`, REACH: JSON.stringify({ ...example.reach, 'orders.example.com': api.port }), ...environment(platformPort),
      },
      stdio: ['ignore', 'ignore', log],
    })
    try {
      const call = () => fetch(`http://127.0.0.1:${functionPort}/`).then(({ status }) => status, () => undefined)
      const statuses = [await until('the function', call), await call()]
      return { asked, statuses }
    } finally {
      child.kill('SIGTERM')
      platform.close()
    }
  }

  const onGoogle = (changes) => [
    (platformPort) => ({ GCE_METADATA_HOST: `127.0.0.1:${platformPort}`, PLATFORM_AUDIENCE: 'https://login.example.com' }),
    (request, url) => {
      assert.equal(request.headers['metadata-flavor'], 'Google')
      return issuer.issue(google, { aud: url.searchParams.get('audience'), ...changes })
    },
  ]
  const onAzure = (changes) => [
    (platformPort) => ({ IDENTITY_ENDPOINT: `http://127.0.0.1:${platformPort}/msi/token`, IDENTITY_HEADER: 'of-the-platform', PLATFORM_AUDIENCE: 'api://fedbroker' }),
    async (request, url) => {
      assert.deepEqual([request.headers['x-identity-header'], url.searchParams.get('resource')], ['of-the-platform', 'api://fedbroker'])
      return JSON.stringify({ access_token: await issuer.issue(azure, changes), token_type: 'Bearer', resource: 'api://fedbroker' })
    },
  ]

  await serving(example, port, async () => {
    const api = await API.start('https://orders.example.com', example)
    for (const [platform, on, sub, client] of [
      ['Cloud Run', onGoogle, `google|${account}`, 'anonymous:google-orders'], ['Azure', onAzure, `azure|${tenant}/${identity}`, 'anonymous:azure-orders'],
    ]) {
      await step(`examples/serverless: a function on ${platform} reads orders, and swaps one token for two calls`, async () => {
        const before = api.calls.length
        const { asked, statuses } = await called(api, ...on())
        assert.deepEqual([statuses, asked.length], [[200, 200], 1])
        const calls = api.calls.slice(before).map(({ path, claims }) => [path, claims.sub, claims.client_id, claims.scope])
        assert.deepEqual(calls, [['/orders', sub, client, 'orders.read'], ['/orders', sub, client, 'orders.read']])
      })
    }
    const strangers = { 'service account': onGoogle({ sub: '100000000000000000666', azp: account }), 'managed identity of the tenant': onAzure({ sub: tenant, oid: tenant }) }
    for (const [who, on] of Object.entries(strangers)) {
      await step(`examples/serverless: another ${who} gets nothing`, async () => {
        const before = api.calls.length
        assert.deepEqual((await called(api, ...on)).statuses, [502, 502])
        assert.equal(api.calls.length, before)
      })
    }
  })
}
