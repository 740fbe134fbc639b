// The doctor at each identity provider that is here: as it is configured, and as an issuer that nobody configured. Its words are kept in work/doctor.log.
import { execFile } from 'node:child_process'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { finish, step } from './steps.mjs'

const work = process.env.WORK
const config = join(work, 'fedbroker.yaml')

// What is wrong with none of them is no failure; what they do not offer is told of.
const providers = {
  panva: { issuer: process.env.PANVA_URL, overall: 'A', told: [] },
  beta: { issuer: process.env.BETA_URL, overall: 'A', told: [] },
  glewlwyd: { issuer: process.env.GLEWLWYD_ISSUER, overall: 'A', told: [] },
  keycloak: { issuer: process.env.KEYCLOAK_ISSUER, overall: 'A', told: [] },
  lemonldap: { issuer: process.env.LEMONLDAP_ISSUER, overall: 'B', told: ['algorithm.none'] },
}

// doctor runs the command and gives its exit code and what it said.
const doctor = (...args) =>
  new Promise((resolve) => {
    execFile(process.env.FEDBROKER, ['doctor', ...args], { timeout: 60_000, maxBuffer: 1 << 22 }, (error, out, err) => {
      resolve({ code: error === null ? 0 : error.code, out, err })
    })
  })

for (const name of process.argv.slice(2)) {
  const { issuer, overall, told } = providers[name]

  await step(`doctor: ${name} is examined as it is configured, grade ${overall}`, async () => {
    const text = await doctor(name, '--config', config)
    appendFileSync(join(work, 'doctor.log'), `$ fedbroker doctor ${name}\n${text.out}${text.err}\n\n`)
    const { code, out, err } = await doctor(name, '--config', config, '--output', 'json')
    assert.doesNotMatch(text.err + err, /panic|goroutine/)
    const report = JSON.parse(out)
    const bad = report.findings.filter((f) => f.grade === 'fail' || f.grade === 'warn').map((f) => `${f.grade} ${f.id}: ${f.seen}`)
    assert.equal(report.overall, overall, bad.join('\n'))
    assert.equal(code, overall === 'F' ? 1 : 0)
    assert.equal(text.code, code)
    assert.ok(text.out.startsWith(`GRADE ${overall} ${name}: ${issuer}`))
    for (const id of told) assert.ok(report.findings.some((f) => f.id === id && f.grade !== 'ok'), `${id} is not told of`)
    assert.equal(report.registration.redirect_uri, `${process.env.BROKER_URL}/callback/${name}`)
  })

  await step(`doctor: ${name} is examined as a stranger, and its snippet names it`, async () => {
    const { code, out, err } = await doctor(issuer, '--output', 'json')
    assert.doesNotMatch(err, /panic|goroutine/)
    const report = JSON.parse(out)
    assert.equal(code, report.overall === 'F' ? 1 : 0)
    assert.ok(report.snippet.includes(`issuer: "${issuer}"`))
  })

  await step(`doctor: ${name} with a slash more is told to be another issuer`, async () => {
    const { code, out } = await doctor(`${issuer}/`, '--output', 'json')
    assert.equal(code, 1)
    assert.ok(JSON.parse(out).findings.some((f) => f.grade === 'fail' && /^(discovery\.issuer_slash|fetch\.)/.test(f.id)))
  })
}

finish()
