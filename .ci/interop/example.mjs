// A folder of examples/ as a newcomer would use it: its files are copied, the broker runs on the copy of its fedbroker.yaml, and its scripts run as they are. What differs from
// production is where the broker listens, and whose keys vouch for the tokens; curl and Node find the hosts that the files name on loopback, behind a certificate of the run.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { calculateJwkThumbprint, createRemoteJWKSet, customFetch, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose'
import { keep, step, until } from './steps.mjs'

const run = promisify(execFile)
const { FEDBROKER: fedbroker, WORK: work } = process.env
const examples = new URL('../../examples/', import.meta.url).pathname
const stopSeconds = 10

// tls is what everything that the examples name by https shows on loopback; `run` makes it.
export const tls = { cert: join(work, 'examples.crt'), key: join(work, 'examples.pem') }

const children = new Set()
process.on('exit', () => { for (const child of children) child.kill('SIGKILL') })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))

// Issuer signs tokens as an issuer would whose key set is in a file.
export class Issuer {
  static async create(alg = 'RS256') {
    const pair = await generateKeyPair(alg)
    const jwk = await exportJWK(pair.publicKey)
    return Object.assign(new Issuer(), { alg, key: pair.privateKey, jwk: { ...jwk, alg, use: 'sig', kid: await calculateJwkThumbprint(jwk) } })
  }

  keySet() { return JSON.stringify({ keys: [this.jwk] }) }

  // issue signs the claims as issued now: their times are moved, and a jti is a new one.
  issue(claims, changes = {}) {
    const { iat } = claims
    const now = Math.floor(Date.now() / 1000)
    const moved = Object.fromEntries(['iat', 'nbf', 'exp'].filter((name) => name in claims).map((name) => [name, now + claims[name] - iat]))
    const jti = 'jti' in claims ? { jti: crypto.randomUUID() } : {}
    return new SignJWT({ ...claims, ...moved, ...jti, ...changes }).setProtectedHeader({ alg: this.alg, kid: this.jwk.kid, typ: 'JWT' }).sign(this.key).then(keep)
  }
}

// golden reads the claims of a preset's golden token.
export const golden = (name) => JSON.parse(readFileSync(new URL(`../../upstreams/presets/testdata/${name}.json`, import.meta.url), 'utf8'))

// API is a resource server behind TLS on loopback. It takes what an API should: our token, for it, under our keys; the claims of what it took are in calls.
export class API {
  calls = []

  static async start(audience, broker) {
    const api = Object.assign(new API(), { audience })
    const keys = createRemoteJWKSet(new URL(`${broker.issuer}/jwks`), { [customFetch]: () => fetch(`${broker.local}/jwks`) })
    const server = createServer({ cert: readFileSync(tls.cert), key: readFileSync(tls.key) }, async (request, response) => {
      const token = request.headers.authorization?.replace(/^Bearer /, '')
      try {
        const { payload } = await jwtVerify(token ?? '', keys, { issuer: broker.issuer, audience, typ: 'at+jwt', algorithms: ['ES256'] })
        keep(token)
        api.calls.push({ method: request.method, path: request.url, claims: payload })
        response.writeHead(201, { 'content-type': 'application/json' }).end('{}')
      } catch (error) {
        response.writeHead(401).end(String(error.code))
      }
    })
    await once(server.listen(0, '127.0.0.1').unref(), 'listening')
    return Object.assign(api, { port: server.address().port })
  }
}

export class Example {
  constructor(name) {
    Object.assign(this, { name, dir: join(work, 'examples', name), reach: {} })
    mkdirSync(this.dir, { recursive: true })
    cpSync(join(examples, name), this.dir, { recursive: true })
  }

  file(name, text) {
    writeFileSync(join(this.dir, name), text, { mode: 0o600 })
    return this
  }

  // configure changes fedbroker.yaml: every text has to be there exactly once.
  configure(changes) {
    const path = join(this.dir, 'fedbroker.yaml')
    let text = readFileSync(path, 'utf8')
    for (const [was, becomes] of Object.entries(changes)) {
      assert.equal(text.split(was).length, 2, `${this.name}/fedbroker.yaml: want once: ${was}`)
      text = text.replace(was, () => becomes)
    }
    writeFileSync(path, text)
    return this
  }

  // test holds the policy, as it is shipped, to its fixtures; returns how many passed.
  async test() {
    const { stdout } = await run(fedbroker, ['test', '--config', join(examples, this.name, 'fedbroker.yaml'), '--output', 'json'])
    const { ok, files, untested } = JSON.parse(stdout)
    assert.deepEqual([ok, untested], [true, []])
    return files.flatMap((file) => file.tests).length
  }

  // serve starts the broker on the copy, on a free loopback port, and waits until it answers.
  async serve(port) {
    Object.assign(this, { issuer: 'https://login.example.com', local: `https://localhost:${port}` })
    this.reach['login.example.com'] = port
    this.configure({ 'listen: 0.0.0.0:8443': `listen: 127.0.0.1:${port}` })
    this.file('tls.crt', readFileSync(tls.cert)).file('tls.key', readFileSync(tls.key))
    this.file('seal.key', (await run(fedbroker, ['secret', '--seal'])).stdout)
    const { stdout } = await run(fedbroker, ['check'], { cwd: this.dir })
    assert.match(stdout, /fedbroker\.yaml: good, with 0 warnings/)
    const log = openSync(join(work, 'broker.log'), 'a')
    this.broker = this.spawn(fedbroker, ['serve'], { cwd: this.dir, stdio: ['ignore', log, log] })
    await until(`${this.name}'s broker`, () => {
      assert.equal(this.broker.exitCode, null, 'the broker ended')
      return fetch(`${this.local}/jwks`).then(({ ok }) => ok || undefined, () => undefined)
    })
  }

  // operator runs a command of fedbroker beside the broker, and returns its exit code and what it wrote to standard output.
  operator(...words) {
    return run(fedbroker, words, { cwd: this.dir }).then(({ stdout }) => ({ code: 0, stdout }), ({ code, stdout, stderr }) => ({ code, stdout: stdout + stderr }))
  }

  spawn(command, words, options) {
    const child = spawn(command, words, options)
    children.add(child)
    child.once('exit', () => children.delete(child))
    return child
  }

  // shell runs a script of the example in a folder of its own; curl in it finds the hosts on loopback.
  async shell(script, env = {}, shell = ['bash', '--noprofile', '--norc', '-eo', 'pipefail']) {
    const home = join(this.dir, 'home')
    mkdirSync(home, { recursive: true })
    const connect = Object.entries(this.reach).map(([host, port]) => `connect-to = "${host}:443:127.0.0.1:${port}"\n`)
    writeFileSync(join(home, '.curlrc'), `cacert = "${tls.cert}"\n${connect.join('')}`)
    const [command, ...words] = shell
    return run(command, [...words, '-c', script], { cwd: this.dir, env: { PATH: process.env.PATH, HOME: home, CURL_HOME: home, ...env }, timeout: 60_000 })
  }

  async stop() {
    if (this.broker === undefined || this.broker.exitCode !== null) return
    const ended = once(this.broker, 'exit')
    this.broker.kill('SIGTERM')
    const late = setTimeout(() => this.broker.kill('SIGKILL'), stopSeconds * 1000)
    const [code] = await ended
    clearTimeout(late)
    assert.equal(code, 0, 'serve drains and exits 0')
  }
}

// failed runs what has to fail, and returns what it wrote to standard error.
export async function failed(promise) {
  const error = await promise.then(() => undefined, (reason) => reason)
  assert.ok(error !== undefined, 'it succeeded')
  assert.equal(typeof error.stderr, 'string', String(error))
  return error.stderr
}

// serving runs an example's broker while its steps run; without the broker there are none.
export async function serving(example, port, steps) {
  await step(`examples/${example.name}: the policy does what its fixtures say, and says it of every rule`, () => example.test())
  const up = await step(`examples/${example.name}: check finds nothing, and serve answers`, async () => {
    await example.serve(port)
    return true
  })
  if (up) await steps()
  await step(`examples/${example.name}: serve ends`, () => example.stop())
}
