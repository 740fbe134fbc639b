// Makes the key pair of the client that authenticates by private_key_jwt: PREFIX.private.jwk, and PREFIX.jwks for the broker.
import { writeFileSync } from 'node:fs'
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose'

const prefix = process.argv[2]
const alg = 'ES256'
const pair = await generateKeyPair(alg, { extractable: true })
const publicKey = await exportJWK(pair.publicKey)
const about = { kid: await calculateJwkThumbprint(publicKey), alg, use: 'sig' }
writeFileSync(`${prefix}.private.jwk`, JSON.stringify({ ...(await exportJWK(pair.privateKey)), ...about }), { mode: 0o600 })
writeFileSync(`${prefix}.jwks`, JSON.stringify({ keys: [{ ...publicKey, ...about }] }))
