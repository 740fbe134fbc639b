// Headless Chromium as people's browser. Whatever a page complains of, or asks of anyone but loopback, is kept and fails the step that looks.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const sizes = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } }
const schemes = ['light', 'dark']
const folder = join(process.env.WORK, 'screenshots')
const patience = 15_000 // ms
const own = /^(http:\/\/127\.0\.0\.1:|data:|blob:)/ // what a page may ask for

export function launch() {
  mkdirSync(folder, { recursive: true })
  return chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage'] })
}

export class Screen {
  // open gives a person a browser of their own. Options are playwright's, such as javaScriptEnabled.
  static async open(chrome, options = {}) {
    const screen = new Screen()
    screen.context = await chrome.newContext({ viewport: sizes.desktop, ...options })
    screen.context.setDefaultTimeout(patience)
    screen.page = await screen.context.newPage()
    screen.complaints = []
    const { page, complaints } = screen
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(`console: ${message.text()} (${message.location().url})`))
    page.on('pageerror', (error) => complaints.push(`script: ${error.message}`))
    page.on('request', (request) => own.test(request.url()) || complaints.push(`asks ${request.url()}`))
    return screen
  }

  // quiet fails if any page of this screen has complained. A page that is itself a refusal may say so on the console.
  quiet(status) {
    const refusal = `console: Failed to load resource: the server responded with a status of ${status} `
    assert.deepEqual(this.complaints.filter((complaint) => status === undefined || !complaint.startsWith(refusal)), [])
  }

  // picture takes the page as it stands, at desktop and phone width, light and dark. A page wider than the phone fails.
  async picture(name) {
    for (const [size, viewport] of Object.entries(sizes)) {
      await this.page.setViewportSize(viewport)
      for (const colorScheme of schemes) {
        await this.page.emulateMedia({ colorScheme })
        await this.page.screenshot({ path: join(folder, `${name}-${size}-${colorScheme}.png`), fullPage: true, animations: 'disabled' })
      }
      const width = await this.page.evaluate(() => document.documentElement.scrollWidth)
      assert.ok(width <= viewport.width, `${name} is ${width} px wide on a ${size}`)
    }
    await this.page.setViewportSize(sizes.desktop)
    await this.page.emulateMedia({ colorScheme: 'light' })
  }

  close() {
    return this.context.close()
  }
}
