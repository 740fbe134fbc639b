// Preloaded into an example's Node program: the hosts that it names are on loopback, at the ports of REACH.
const reach = JSON.parse(process.env.REACH)
const { fetch: outside } = globalThis
globalThis.fetch = (input, init) => {
  const url = new URL(input)
  if (url.hostname in reach) url.host = `localhost:${reach[url.hostname]}`
  return outside(url, init)
}
