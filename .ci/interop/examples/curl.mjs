// examples/exchange-curl: its script as it is, with a partner's token; and what each of its answers has to hold.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose'
import { Example, Issuer, serving } from '../example.mjs'
import { keep, step, until } from '../steps.mjs'

const iat = 1_800_000_000
const ada = { iss: 'https://idp.acme.example', aud: 'gateway-at-acme', sub: 'ada', groups: ['orders', 'staff'], iat, exp: iat + 900 }
const [orders, billing] = ['https://orders.example.com', 'https://billing.example.com']
const type = (name) => `urn:ietf:params:oauth:token-type:${name}`

export async function exchangeCurl(port) {
  const example = new Example('exchange-curl')
  const acme = await Issuer.create('ES256')
  const [gateway, ordersAPI] = [keep(crypto.randomUUID() + crypto.randomUUID()), keep(crypto.randomUUID() + crypto.randomUUID())]
  example.file('acme.jwks', acme.keySet()).file('gateway.secret', gateway).file('orders-api.secret', ordersAPI)
  example.configure({ [`issuer: ${ada.iss}\n`]: `issuer: ${ada.iss}\n    jwks_file: acme.jwks\n` })

  await serving(example, port, async () => {
    const answers = await step('examples/exchange-curl: the script runs to its end', async () => {
      const script = readFileSync(join(example.dir, 'exchange.sh'), 'utf8')
      const { stdout } = await example.shell(script, { SUBJECT_TOKEN: await acme.issue(ada), GATEWAY_SECRET: gateway, ORDERS_SECRET: ordersAPI }, ['sh'])
      const shown = stdout.split('== ').slice(1).map((part) => [part.slice(0, part.indexOf('\n')), JSON.parse(part.slice(part.indexOf('\n')))])
      for (const [, { access_token: token }] of shown) if (token !== undefined) keep(token)
      return Object.fromEntries(shown)
    })
    if (answers === undefined) return
    const keys = createLocalJWKSet(await (await fetch(`${example.local}/jwks`)).json())
    const verified = async (token, audience, typ = 'at+jwt') => (await jwtVerify(token, keys, { issuer: example.issuer, audience, typ })).payload

    // holds looks at one answer of the script.
    const seen = new Set()
    async function holds(name, what, check) {
      seen.add(name)
      await step(`examples/exchange-curl: ${name}: ${what}`, () => {
        assert.ok(answers[name] !== undefined, 'no such answer')
        return check(answers[name])
      })
    }
    await holds('client_credentials', 'the gateway\'s own token', async (answer) => {
      const claims = await verified(answer.access_token, orders)
      assert.deepEqual([claims.sub, claims.client_id, answer.scope, answer.token_type], ['gateway', 'gateway', 'orders.read', 'Bearer'])
    })
    await holds('exchange', 'sub is the person, client_id the gateway', async (answer) => {
      const claims = await verified(answer.access_token, orders)
      assert.deepEqual([claims.sub, claims.client_id, answer.scope, answer.issued_token_type, claims.groups], ['acme|ada', 'gateway', 'orders.read', type('access_token'), ['acme:orders', 'acme:staff']])
      assert.equal(claims.act, undefined)
    })
    await holds('delegation', 'sub is the person, act the orders API', async (answer) => {
      const claims = await verified(answer.access_token, billing)
      assert.deepEqual([claims.sub, claims.client_id, answer.scope], ['acme|ada', 'orders-api', 'billing.read'])
      assert.ok(claims.exp - claims.iat <= 300)
      assert.deepEqual([claims.act.iss, claims.act.sub, claims.act.act], [example.issuer, 'orders-api', undefined])
    })
    await holds('id_token', 'for the gateway, and no API\'s', async (answer) => {
      const claims = await verified(answer.access_token, 'gateway', 'JWT')
      assert.deepEqual([claims.sub, claims.azp, answer.token_type, answer.issued_token_type], ['acme|ada', 'gateway', 'N_A', type('id_token')])
      assert.deepEqual([claims.nonce, claims.at_hash, claims.sid], [undefined, undefined, undefined])
    })
    await holds('jwt-bearer', 'all that the rule gives, and no refresh token', async (answer) => {
      const claims = await verified(answer.access_token, orders)
      assert.deepEqual([claims.sub, answer.scope, answer.issued_token_type, answer.refresh_token], ['acme|ada', 'orders.read orders.write', undefined, undefined])
    })
    await holds('denial', 'a code and a decision id', ({ error, decision_id: id, ...others }) => {
      assert.deepEqual([error, Object.keys(others)], ['invalid_scope', ['error_description']])
      assert.match(id, /^[A-Z2-7]{20,}$/)
    })
    await holds('introspection', 'the API learns what the token says', ({ active, sub, client_id: client, scope }) =>
      assert.deepEqual([active, sub, client, scope], [true, 'acme|ada', 'gateway', 'orders.read']))
    await holds('revoked', 'nothing is said of it', (answer) => assert.deepEqual(answer, { active: false }))
    await holds('revoked with it', 'nor of what came of it', (answer) => assert.deepEqual(answer, { active: false }))
    await step('docs/dpop.md: the token request by hand is told to carry a nonce, and with it gets a token that is bound to its key', async () => {
      const document = readFileSync(new URL('../../../docs/dpop.md', import.meta.url), 'utf8')
      const [, block] = /```sh\n([^]*?)```/.exec(document)
      const again = `nonce=$(curl -si "$issuer/token" -u gateway:"$SECRET" -d grant_type=client_credentials -H "DPoP: $(proof POST "$issuer/token")" |
        tr -d '\\r' | sed -n 's/^[Dd][Pp]o[Pp]-[Nn]once: //p')
        curl -s "$issuer/token" -u gateway:"$SECRET" -d grant_type=client_credentials -H "DPoP: $(proof POST "$issuer/token" ",\\"nonce\\":\\"$nonce\\"")"`
      const { stdout } = await example.shell(`${block}\n${again}`, { SECRET: gateway })
      assert.match(stdout, /^HTTP\/[^]*"use_dpop_nonce"/)
      const answer = JSON.parse(stdout.slice(stdout.lastIndexOf('{')))
      const claims = await verified(keep(answer.access_token), orders)
      assert.equal(answer.token_type, 'DPoP')
      assert.match(claims.cnf.jkt, /^[A-Za-z0-9_-]{43}$/)
    })
    await step('examples/exchange-curl: the decision id of the denial shows an operator the rule, and what is beyond it', async () => {
      const stdout = await until('the decision', async () => { // it is kept off the path of the answer
        const told = await example.operator('explain', '--decision', answers.denial.decision_id)
        return told.code === 3 ? told.stdout : undefined
      })
      assert.match(stdout, /^DENIED +invalid_scope: .*\n.*scope "orders\.delete".*\n.*by rule people-orders \(impersonation\)/)
    })
    await step('examples/exchange-curl: lineage draws what the billing token was made from: the person\'s token and the API\'s own', async () => {
      const { jti } = await verified(answers.delegation.access_token, billing)
      const { code, stdout } = await example.operator('lineage', jti)
      assert.equal(code, 0, stdout)
      for (const id of [answers.exchange, answers.delegation].map(({ access_token: token }) => decodeJwt(token).jti)) assert.ok(stdout.includes(`${id}  REVOKED`), stdout)
      assert.match(stdout, /sub orders-api\n[^]*sub acme\|ada · upstream acme · actor orders-api\n/)
    })
    await step('examples/exchange-curl: every answer was looked at', () => assert.deepEqual(Object.keys(answers), [...seen]))
  })
}
