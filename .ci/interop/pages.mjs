// Two little web servers on loopback. At PAGE_URL, behind Apache: a page that shows who Apache says is there. At SPA_URL: a single-page app on npm
// oidc-client-ts, without a server side of its own.
import { createServer } from 'node:http'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const { PAGE_URL: page, SPA_URL: spa, BROKER_URL: broker } = process.env
const escape = (text = '') => text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`)
const file = (path) => readFileSync(fileURLToPath(new URL(path, import.meta.url)))

function serve(url, answer) {
  createServer((request, response) => {
    const [type, body] = answer(request) ?? []
    if (type === undefined) return response.writeHead(404).end()
    response.writeHead(200, {
      'content-type': `${type}; charset=utf-8`,
      'content-security-policy': `default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ${new URL(broker).origin}; frame-src 'self' ${new URL(broker).origin}`,
    }).end(body)
  }).listen(Number(new URL(url).port), '127.0.0.1', () => console.log(`listens at ${url}`))
}

const shown = { subject: 'oidc_claim_sub', email: 'oidc_claim_email', name: 'oidc_claim_name', groups: 'oidc_claim_groups', token: 'oidc_access_token' }
const styles = ['text/css', file('spa/pages.css')]
serve(page, ({ headers, url }) => url.endsWith('.css') ? styles : ['text/html', `<!doctype html><html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>Behind Apache</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/pages.css"><h1>Behind Apache</h1>
<dl>${Object.entries(shown).map(([id, name]) => `<dt>${id}<dd id="${id}">${escape(headers[name])}`).join('')}</dl></html>`])

const spaFiles = {
  '/': ['text/html', file('spa/index.html')],
  '/app': ['text/html', '<!doctype html><title>an app</title><link rel="icon" href="data:,"><p>an app'], // where a login of app-basic ends
  '/pages.css': styles,
  '/silent.html': ['text/html', file('spa/silent.html')],
  '/silent.js': ['text/javascript', file('spa/silent.js')],
  '/app.js': ['text/javascript', file('spa/app.js')],
  '/oidc-client-ts.js': ['text/javascript', file('node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js')],
  '/settings.json': ['application/json', JSON.stringify({ authority: broker, client_id: 'spa' })],
}
serve(spa, ({ url }) => spaFiles[new URL(url, spa).pathname])
