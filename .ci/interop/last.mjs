// The last steps: an identity provider that is gone, and what the broker wrote down in the whole run.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { finish, secret, step } from './steps.mjs'

const { WORK: work } = process.env

await step('no token, no code, no secret and no person is in the broker\'s log or journal', () => {
  const kept = readFileSync(join(work, 'kept'), 'utf8').trim().split('\n').map((value) => value.split('.').at(-1))
  const secrets = readdirSync(work).filter((name) => /\.(secret|key)$/.test(name)).map(secret)
  const people = ['Lovelace', 'Hopper', '@panva.example', '@beta.example', '@glewlwyd.example']
  assert.ok(kept.length > 20 && kept.every((value) => value.length >= 16) && secrets.length > 10, 'nothing to look for')
  const files = ['broker.log', ...readdirSync(join(work, 'journal')).map((name) => join('journal', name))]
  let bytes = 0
  for (const file of files) {
    const text = readFileSync(join(work, file), 'utf8')
    bytes += text.length
    for (const value of kept) assert.ok(!text.includes(value), `what an answer held is in ${file}`)
    for (const value of secrets) assert.ok(!text.includes(value), `a secret is in ${file}`)
    for (const value of people) assert.ok(!text.includes(value), `${value} is in ${file}`)
  }
  assert.ok(bytes > 0, 'nothing was written down')
})

finish()
