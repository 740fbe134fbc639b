// One line for each step, in the words that `run` counts in work/steps.log: "ok   …" or "FAIL …".
import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

let failed = 0
const work = process.env.WORK

// keep notes what the broker must never write down: a token, a code, a verifier. `last.mjs` looks for it.
export function keep(value) {
  appendFileSync(join(work, 'kept'), `${value}\n`, { mode: 0o600 })
  return value
}

// secret reads one of the run's secrets.
export const secret = (name) => readFileSync(join(work, name), 'utf8').trim()

function tell(line) {
  console.log(line)
  appendFileSync(join(work, 'steps.log'), `${line}\n`)
}

// step runs one check; a failed one is told and the run goes on. Returns what the check returned, undefined when it failed.
export async function step(name, check) {
  const started = performance.now()
  try {
    const result = await check()
    tell(`ok   ${name} (${Math.round(performance.now() - started)} ms)`)
    return result
  } catch (error) {
    failed++
    tell(`FAIL ${name}`)
    console.log(`     ${String(error.stack ?? error).replaceAll('\n', '\n     ')}`)
    if (error.cause !== undefined) console.log('     cause:', error.cause)
    return undefined
  }
}

export function finish() {
  process.exitCode = failed === 0 ? 0 : 1
}

// until asks again, a little later each time, until the answer is not undefined.
export async function until(what, ask, seconds = 20) {
  const deadline = Date.now() + seconds * 1000
  for (let wait = 20; ; wait = Math.min(wait * 2, 500)) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} s`)
    await pause(wait)
  }
}
