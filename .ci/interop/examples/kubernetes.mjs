// examples/kubernetes: what the pod's container runs, with the token that Kubernetes' own code makes for the manifest.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import { parse } from 'yaml'
import { API, Example, failed, serving, tls } from '../example.mjs'
import { keep, step, until } from '../steps.mjs'

export async function kubernetes(port, clusterPort) {
  const example = new Example('kubernetes')
  const issuer = `https://localhost:${clusterPort}`
  const named = 'https://kubernetes.default.svc.cluster.local'
  const folder = '/var/run/secrets/kubernetes.io/serviceaccount'
  example.file('ca.crt', readFileSync(tls.cert)).file('broker.token', 'of-the-broker-s-own-pod')
  example.configure({
    [`issuer: ${named} `]: `issuer: ${issuer} `, [`jwks_uri: ${named}/`]: `jwks_uri: ${issuer}/`, 'allow_private: [kubernetes.default.svc.cluster.local]': 'allow_private: [localhost]',
    [`ca_file: ${folder}/ca.crt`]: 'ca_file: ca.crt', [`bearer_token_file: ${folder}/token`]: 'bearer_token_file: broker.token',
  })
  const manifest = (name) => parse(readFileSync(join(example.dir, `${name}.yaml`), 'utf8'))
  const [pod, client] = [manifest('pod'), manifest('client')]

  // neighbours are pods that differ from those of the manifests in one line.
  const neighbours = {
    'pod: a service account of the same name in another namespace': ['pod', 'namespace: shop', 'namespace: playground'],
    'pod: a service account of another name': ['pod', 'serviceAccountName: web', 'serviceAccountName: reports'],
    'client: a service account of the same name in another namespace': ['client', 'namespace: shop', 'namespace: playground'],
    'client: the token that the exchange is for': ['client', 'audience: https://login.example.com/clients', 'audience: https://login.example.com'],
    'pod: the token that clients are for': ['pod', 'audience: https://login.example.com', 'audience: https://login.example.com/clients'],
  }
  const mountOf = (who) => join(example.dir, 'mounts', who.replaceAll(/[: ]+/g, '-'))

  // cluster mounts the tokens of all pods and serves the issuer's keys until it is stopped.
  async function cluster() {
    const pods = []
    for (const name of ['pod', 'client']) pods.push(join(example.dir, `${name}.yaml`), mountOf(name))
    for (const [who, [name, was, becomes]] of Object.entries(neighbours)) {
      const text = readFileSync(join(example.dir, `${name}.yaml`), 'utf8')
      assert.ok(text.includes(was), was)
      mkdirSync(mountOf(who), { recursive: true })
      writeFileSync(`${mountOf(who)}.yaml`, text.replace(was, becomes))
      pods.push(`${mountOf(who)}.yaml`, mountOf(who))
    }
    for (let i = 1; i < pods.length; i += 2) mkdirSync(pods[i], { recursive: true })
    const child = example.spawn(process.env.KUBERNETES_TOKENS, [
      '-issuer', issuer, '-listen', `127.0.0.1:${clusterPort}`, '-cert', tls.cert, '-key', tls.key, '-bearer', join(example.dir, 'broker.token'), ...pods,
    ], { stdio: ['ignore', 'inherit', 'inherit'] })
    const headers = { authorization: `Bearer ${readFileSync(join(example.dir, 'broker.token'), 'utf8')}` }
    await until('the cluster', () => {
      assert.equal(child.exitCode, null, 'the cluster ended')
      return fetch(`${issuer}/.well-known/openid-configuration`, { headers }).then(({ ok }) => ok || undefined, () => undefined)
    })
    return child
  }

  // container runs what a manifest's container runs, with its environment, on the tokens of a folder.
  function container({ spec }, mount) {
    const [{ command, args, env }] = spec.containers
    const variables = Object.fromEntries(env.map(({ name, value }) => [name, value]))
    return example.shell(args[0], { ...variables, TOKENS: mount }, command.slice(0, 1).concat('-e'))
  }

  const up = await step('examples/kubernetes: Kubernetes\' code mounts the manifest\'s token, and describes its issuer', async () => {
    const child = await cluster()
    const claims = decodeJwt(keep(readFileSync(join(mountOf('pod'), 'token'), 'utf8')))
    const { serviceAccountToken: asked } = pod.spec.volumes[0].projected.sources[0]
    assert.deepEqual([claims.iss, claims.aud, claims.exp - claims.iat], [issuer, [asked.audience], asked.expirationSeconds])
    assert.equal((await fetch(`${issuer}/openid/v1/jwks`)).status, 401, 'the keys are for those who show a token')
    return child
  })
  if (up === undefined) return
  await serving(example, port, async () => {
    const api = await API.start('https://orders.example.com', example)
    example.reach['orders.example.com'] = api.port
    await step('examples/kubernetes: the pod\'s token is swapped, and the orders API takes what came of it', async () => {
      await container(pod, mountOf('pod'))
      const { path, claims } = api.calls.at(-1)
      assert.deepEqual([path, claims.sub, claims.client_id, claims.scope], ['/orders', 'cluster|system:serviceaccount:shop:web', 'anonymous:shop-orders', 'orders.read'])
      assert.equal(claims.exp - claims.iat, 300)
      assert.equal(claims['kubernetes.io'], undefined)
    })
    await step('examples/kubernetes: a pod is a client by its token, and the orders API takes what it gets, again and again', async () => {
      for (let i = 0; i < 2; i++) {
        await container(client, mountOf('client'))
        const { path, claims } = api.calls.at(-1)
        assert.deepEqual([path, claims.sub, claims.client_id, claims.scope, claims.upstream], ['/orders', 'shop-batch', 'shop-batch', 'orders.read', undefined])
      }
      assert.equal(api.calls.length, 3)
    })
    for (const [who, [name]] of Object.entries(neighbours)) {
      await step(`examples/kubernetes: ${who} gets nothing`, async () => {
        const before = api.calls.length
        assert.match(await failed(container(manifest(name), mountOf(who))), name === 'client' ? /"error": "invalid_client"/ : /"error": "invalid_request"/)
        assert.equal(api.calls.length, before)
      })
    }
  })
  up.kill('SIGTERM')
}
