// Prints as many free loopback ports as its argument says; all are held open until all are known.
import { createServer } from 'node:net'
import { once } from 'node:events'

const servers = []
for (let wanted = Number(process.argv[2]); servers.length < wanted;) {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  servers.push(server)
}
console.log(servers.map((server) => server.address().port).join(' '))
for (const server of servers) server.close()
