// One line for each step, in the words that `run` counts in work/steps.log: "ok   …" or "FAIL …".
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

let failed = 0

function tell(line) {
  console.log(line)
  appendFileSync(join(process.env.WORK, 'steps.log'), `${line}\n`)
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
