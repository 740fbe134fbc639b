// Makes the key pair of who signs for themselves, such as a client that authenticates by private_key_jwt: PREFIX.private.jwk, the same as PREFIX.pem, and PREFIX.jwks for the server.
import { writeFileSync } from 'node:fs'
import { calculateJwkThumbprint, exportJWK, exportPKCS8, generateKeyPair } from 'jose'

const [prefix, alg = 'ES256'] = process.argv.slice(2)
const pair = await generateKeyPair(alg, { extractable: true })
const publicKey = await exportJWK(pair.publicKey)
const about = { kid: await calculateJwkThumbprint(publicKey), alg, use: 'sig' }
writeFileSync(`${prefix}.private.jwk`, JSON.stringify({ ...(await exportJWK(pair.privateKey)), ...about }), { mode: 0o600 })
writeFileSync(`${prefix}.pem`, await exportPKCS8(pair.privateKey), { mode: 0o600 })
writeFileSync(`${prefix}.jwks`, JSON.stringify({ keys: [{ ...publicKey, ...about }] }))
