// A browser without a screen: redirects, cookies and forms, as far as logins need them. It never leaves loopback: the redirect URIs of the apps
// are names that nobody serves, and a journey that reaches one ends there.
import { request } from 'node:http'
import { buffer } from 'node:stream/consumers'

const maxSteps = 25
const navigation = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
const entities = { amp: '&', lt: '<', gt: '>', quot: '"', '#34': '"', '#39': '\'', '#43': '+', '#x27': '\'', '#x2F': '/' }
const plain = (text) => text.replace(/&(#?\w+);/g, (whole, name) => entities[name] ?? whole)

// send is one request as a navigating browser sends it; fetch can't, since it says of itself that it is no navigation.
function send(url, { method = 'GET', headers, body }) {
  const form = body instanceof URLSearchParams ? { 'content-type': 'application/x-www-form-urlencoded' } : {}
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers: { ...navigation, ...form, ...headers } }, async (answer) => {
      const heard = new Headers()
      for (let i = 0; i < answer.rawHeaders.length; i += 2) heard.append(answer.rawHeaders[i], answer.rawHeaders[i + 1])
      const content = await buffer(answer)
      resolve(new Response(content.length > 0 ? content : null, { status: answer.statusCode, headers: heard }))
    })
    outgoing.on('error', reject).end(body?.toString())
  })
}

// attributes of one tag.
function attributes(tag) {
  const found = {}
  for (const [, name, , whole, double, single] of tag.matchAll(/([\w-]+)(=("([^"]*)"|'([^']*)'|[^\s"'>]+))?/g)) {
    found[name.toLowerCase()] = plain(double ?? single ?? whole ?? '')
  }
  return found
}

// Page is where a journey stands: a page that was answered, or a place that was not gone to (outside is true) with the request that would have.
export class Page {
  constructor({ url, status, headers, html = '', outside = false, init }) {
    Object.assign(this, { url, status, headers, html, outside, init })
  }

  // parameters are those that reach an app's redirect URI, by query or by form.
  get parameters() {
    return this.init?.body ?? this.url.searchParams
  }

  // forms lists the page's forms: where each goes, how, with which values as it stands, and the names of its buttons.
  get forms() {
    return [...this.html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, head, body]) => {
      const { action = '', method = 'get' } = attributes(head)
      const tags = [...body.matchAll(/<(?:input|button)\b([^>]*)>/gi)].map(([, tag]) => attributes(tag)).filter(({ name }) => name)
      const [buttons, fields] = [tags.filter(({ type }) => type === 'submit'), tags.filter(({ type }) => type !== 'submit')]
      return {
        origin: this.url.origin, action: new URL(action || this.url, this.url), method: method.toLowerCase(),
        fields: fields.map(({ name, value = '' }) => [name, value]), buttons: buttons.map(({ name }) => name),
      }
    })
  }

  get links() {
    return [...this.html.matchAll(/<a\b([^>]*)>/gi)].map(([, tag]) => attributes(tag).href).filter(Boolean).map((href) => new URL(href, this.url))
  }
}

// Jar holds cookies by host name, path and name (RFC 6265 §5.3); not by port, which cookies ignore.
class Jar {
  #kept

  constructor(kept = []) {
    this.#kept = kept
  }

  toJSON() {
    return this.#kept
  }

  keep(url, line) {
    const [, name, value, rest] = /^([^=;]+)=([^;]*)(.*)$/.exec(line)
    const path = /;\s*path=(\/[^;]*)/i.exec(rest)?.[1] ?? url.pathname.replace(/(?<=.)\/[^/]*$/, '')
    const seconds = /;\s*max-age=(-?\d+)/i.exec(rest)?.[1]
    const expires = /;\s*expires=([^;]+)/i.exec(rest)?.[1]
    const gone = seconds !== undefined ? Number(seconds) <= 0 : expires !== undefined && Date.parse(expires) <= Date.now()
    this.#kept = this.#kept.filter((cookie) => !(cookie.host === url.hostname && cookie.path === path && cookie.name === name))
    if (!gone) this.#kept.push({ host: url.hostname, path, name, value })
  }

  // fitting lists the cookies that a request to the URL carries.
  fitting({ hostname, pathname }) {
    return this.#kept.filter(({ host, path }) => host === hostname && (pathname === path || pathname.startsWith(path.endsWith('/') ? path : `${path}/`)))
  }
}

export class Browser {
  visited = [] // every URL that was asked for
  until = () => false // (url) => whether to stop before it

  // A browser may begin with the cookies of one before, as JSON has them.
  constructor(cookies) {
    this.jar = new Jar(cookies)
  }

  // open goes to a URL and follows redirects until a page is there.
  async open(url, init = {}) {
    url = new URL(url)
    for (let step = 0; step < maxSteps; step++) {
      if (url.hostname !== '127.0.0.1' || this.until(url)) return new Page({ url, outside: true, init })
      const answer = await this.fetch(url, init)
      const location = answer.headers.get('location')
      if (location === null || answer.status < 300 || answer.status > 399) {
        return new Page({ url, status: answer.status, headers: answer.headers, html: await answer.text() })
      }
      if (!(answer.status === 307 || answer.status === 308)) init = {}
      url = new URL(location, url)
    }
    throw new Error(`redirected without end, at last to ${url.origin}${url.pathname}`)
  }

  // fetch sends one request with this browser's cookies, and keeps those that are answered.
  async fetch(url, init = {}) {
    url = new URL(url)
    this.visited.push(url)
    const cookie = this.jar.fitting(url).map(({ name, value }) => `${name}=${value}`).join('; ')
    const answer = await send(url, { ...init, headers: { ...init.headers, ...(cookie && { cookie }) } })
    for (const line of answer.headers.getSetCookie()) this.jar.keep(url, line)
    return answer
  }

  // submit sends a form of a page, its values changed by those given.
  submit(form, values = {}) {
    const fields = new URLSearchParams(form.fields.filter(([name]) => !(name in values)))
    for (const [name, value] of Object.entries(values)) fields.set(name, value)
    if (form.method === 'post') return this.open(form.action, { method: 'POST', body: fields, headers: { origin: form.origin } })
    const url = new URL(form.action)
    url.search = fields
    return this.open(url)
  }

  // went tells whether anything of the origin was asked for since the mark, an earlier length of visited.
  went(origin, mark = 0) {
    return this.visited.slice(mark).some((url) => url.origin === origin)
  }

  // walk fills in whatever form stands on the pages of the origins given until the journey leaves them; a form that only carries values on
  // (form_post) is sent as it is.
  async walk(page, origins, values) {
    for (let step = 0; step < maxSteps && !page.outside; step++) {
      const [form] = page.forms
      if (form === undefined || !origins.includes(page.url.origin)) return page
      const named = new Set([...form.fields.map(([name]) => name), ...form.buttons])
      page = await this.submit(form, Object.fromEntries(Object.entries(values).filter(([name]) => named.has(name))))
    }
    return page
  }
}
