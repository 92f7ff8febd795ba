// Reads {jwk, issuer, audience} on the first line and tokens on the others, each a JSON string, and writes what jose and
// jsonwebtoken say about each: the claims, or null.
import { createPublicKey } from 'node:crypto'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

const require = createRequire(process.argv[2] + '/')
const jose = await import(require.resolve('jose'))
const jsonwebtoken = require('jsonwebtoken')

const lines = createInterface({ input: process.stdin, crlfDelay: Infinity })[Symbol.asyncIterator]()
const { jwk, issuer, audience } = JSON.parse((await lines.next()).value)
const key = createPublicKey({ key: jwk, format: 'jwk' })
// jsonwebtoken has no EdDSA.
const isKnown = jwk.alg !== 'EdDSA'

for await (const line of lines) {
  const token = JSON.parse(line)
  const verdict = { jose: null }
  try {
    verdict.jose = (await jose.jwtVerify(token, key, { issuer, audience, algorithms: [jwk.alg], requiredClaims: ['exp', 'iat', 'sub', 'jti'] })).payload
  } catch {}
  if (isKnown) {
    verdict.jsonwebtoken = null
    try {
      verdict.jsonwebtoken = jsonwebtoken.verify(token, key, { issuer, audience, algorithms: [jwk.alg] })
    } catch {}
  }
  process.stdout.write(JSON.stringify(verdict) + '\n')
}
