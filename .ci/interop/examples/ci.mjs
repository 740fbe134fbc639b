// examples/ci: the job files of GitHub and GitLab, run as their runners do, with the golden tokens of both.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { parse } from 'yaml'
import { API, Example, failed, golden, Issuer, serving } from '../example.mjs'
import { step } from '../steps.mjs'

export async function ci(port) {
  const ci = new Example('ci')
  const [github, gitlab] = [await Issuer.create(), await Issuer.create()]
  ci.file('github.jwks', github.keySet()).file('gitlab.jwks', gitlab.keySet())
  ci.configure({ 'preset: github-actions': 'preset: github-actions\n    jwks_file: github.jwks\n   ', 'preset: gitlab\n': 'preset: gitlab\n    jwks_file: gitlab.jwks\n' })
  const file = (name) => parse(readFileSync(join(ci.dir, name), 'utf8'))

  // workflow runs the job's steps as a runner does; claims are those of the token that GitHub has for it.
  async function workflow(changes = {}) {
    const { permissions, jobs: { deploy } } = file('github-actions.yaml')
    assert.equal(permissions['id-token'], 'write')
    const platform = createServer(async (request, response) => {
      const { searchParams } = new URL(request.url, 'http://runner')
      assert.equal(request.headers.authorization, 'Bearer of-the-runner')
      const value = await github.issue(golden('github-actions'), { aud: searchParams.get('audience'), ...changes })
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ count: value.length, value }))
    })
    await once(platform.listen(0, '127.0.0.1'), 'listening')
    try {
      const env = {
        ...deploy.env, GITHUB_SHA: golden('github-actions').sha, ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'of-the-runner',
        ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${platform.address().port}/token?api-version=2.0`,
      }
      for (const { run } of deploy.steps) await ci.shell(run, env)
    } finally {
      platform.close()
    }
  }

  // job runs the script of GitLab's job.
  async function job(changes = {}) {
    const { deploy } = file('gitlab-ci.yaml')
    const variables = { ...deploy.variables, CI_COMMIT_SHA: golden('gitlab').sha }
    for (const [name, { aud }] of Object.entries(deploy.id_tokens)) variables[name] = await gitlab.issue(golden('gitlab'), { aud, ...changes })
    await ci.shell(deploy.script.join('\n'), variables, ['sh', '-e'])
  }

  await serving(ci, port, async () => {
    const api = await API.start('https://deploy.example.com', ci)
    ci.reach['deploy.example.com'] = api.port

    await step('examples/ci: GitHub\'s job deploys: the token that it was given is swapped, and the deploy API takes what came of it', async () => {
      await workflow()
      const { method, path, claims } = api.calls.at(-1)
      assert.deepEqual([method, path, claims.client_id, claims.scope], ['POST', '/deployments', 'anonymous:github-deploy', 'deploy'])
      assert.deepEqual([claims.sub, claims.repository, claims.commit], [`github|${golden('github-actions').sub}`, 'octo-org/octo-repo', golden('github-actions').sha])
    })
    await step('examples/ci: GitLab\'s job deploys', async () => {
      await job()
      const { claims } = api.calls.at(-1)
      assert.deepEqual([claims.client_id, claims.sub, claims.repository], ['anonymous:gitlab-deploy', `gitlab|${golden('gitlab').sub}`, 'my-group/my-project'])
    })
    const strangers = {
      'a fork on GitHub': () => workflow({ repository: 'mallory/octo-repo', repository_id: '777', repository_owner: 'mallory', repository_owner_id: '666' }),
      'who took over the organisation\'s name': () => workflow({ repository_owner_id: '666', repository_id: '777' }),
      'a pull request': () => workflow({ ref: 'refs/pull/7/merge', event_name: 'pull_request' }),
      'a fork on GitLab': () => job({ project_id: '21', project_path: 'mallory/my-project', namespace_id: '66' }),
      'a branch that is not protected': () => job({ ref_protected: 'false' }),
    }
    for (const [who, attempt] of Object.entries(strangers)) {
      await step(`examples/ci: ${who} does not deploy, and the job says the code and the decision id`, async () => {
        const before = api.calls.length
        assert.match(await failed(attempt()), /"error": "invalid_request",\s+"decision_id": "[A-Za-z0-9_-]{16,}"/)
        assert.equal(api.calls.length, before)
      })
    }
    await step('examples/ci: explain says of a fork\'s token which id the rule saw and which it wanted', async () => {
      ci.file('fork.jwt', await github.issue(golden('github-actions'), { repository_owner: 'mallory', repository_owner_id: '666', repository_id: '777' }))
      const { code, stdout } = await ci.operator('explain', '--subject-token', 'fork.jwt', '--audience', 'https://deploy.example.com', '--keys', 'file')
      assert.equal(code, 3, stdout)
      assert.match(stdout, /exchange\[0\] github-deploy, impersonation: when\n +claims\.repository_owner_id == "123456"\n +saw +"666"\n +wanted +"123456"\n/)
      assert.match(stdout, /\nnearest +github-deploy\n/)
    })
    await step('examples/ci: a job\'s token is spent by its first use', async () => {
      const jti = crypto.randomUUID()
      await job({ jti })
      assert.match(await failed(job({ jti })), /"error": "invalid_request"/)
    })
  })
}
