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
  const pod = parse(readFileSync(join(example.dir, 'pod.yaml'), 'utf8'))

  const mount = join(example.dir, 'mount')

  // neighbours are pods that differ from the manifest's in one line; each has a folder of its own.
  const neighbours = { 'of the same name in another namespace': ['namespace: shop', 'namespace: playground'], 'of another name': ['serviceAccountName: web', 'serviceAccountName: batch'] }
  const folderOf = (who) => join(example.dir, who.replaceAll(' ', '-'))

  // cluster mounts the tokens of all pods and serves the issuer's keys until it is stopped.
  async function cluster() {
    const manifest = readFileSync(join(example.dir, 'pod.yaml'), 'utf8')
    const pods = [join(example.dir, 'pod.yaml'), mount]
    for (const [who, [was, becomes]] of Object.entries(neighbours)) {
      assert.ok(manifest.includes(was), was)
      writeFileSync(`${folderOf(who)}.yaml`, manifest.replace(was, becomes))
      pods.push(`${folderOf(who)}.yaml`, folderOf(who))
    }
    for (let i = 1; i < pods.length; i += 2) mkdirSync(pods[i])
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

  // container runs what the pod's container runs, with its environment, on the tokens of a folder.
  function container(mount) {
    const [{ command, args, env }] = pod.spec.containers
    const variables = Object.fromEntries(env.map(({ name, value }) => [name, value]))
    return example.shell(args[0], { ...variables, TOKENS: mount }, command.slice(0, 1).concat('-e'))
  }

  const up = await step('examples/kubernetes: Kubernetes\' code mounts the manifest\'s token, and describes its issuer', async () => {
    const child = await cluster()
    const claims = decodeJwt(keep(readFileSync(join(mount, 'token'), 'utf8')))
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
      await container(mount)
      const { path, claims } = api.calls.at(-1)
      assert.deepEqual([path, claims.sub, claims.client_id, claims.scope], ['/orders', 'cluster|system:serviceaccount:shop:web', 'anonymous:shop-orders', 'orders.read'])
      assert.equal(claims.exp - claims.iat, 300)
      assert.equal(claims['kubernetes.io'], undefined)
    })
    for (const who of Object.keys(neighbours)) {
      await step(`examples/kubernetes: a service account ${who} gets nothing`, async () => {
        const before = api.calls.length
        assert.match(await failed(container(folderOf(who))), /"error": "invalid_request"/)
        assert.equal(api.calls.length, before)
      })
    }
  })
  up.kill('SIGTERM')
}
