import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { type ConnectionOptions, checkServerIdentity } from 'node:tls'
import type { TlsDemands } from '../lib/database-url.js'
import { StartError } from '../errors.js'

function readTlsFile(parameter: string, file: string | undefined): Buffer | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file)
  } catch (err) {
    const reason = err instanceof Error && 'code' in err ? String(err.code) : String(err)
    throw new StartError(`${parameter} of DATABASE_URL names a file that can't be read (${reason}): ${file}`)
  }
}

/**
 * What Node needs for a TLS connection to a server as `demands` has it. Only the two `verify-` modes know whom they talk to, and
 * only `verify-full` checks the name.
 * @throws {StartError} for a file that can't be read
 */
export function tlsOptions(demands: TlsDemands): (host: string) => ConnectionOptions {
  const { mode, keyPassphrase, minVersion, maxVersion, sendsName, direct } = demands
  const ca = readTlsFile('sslrootcert', demands.rootCertFile)
  const cert = readTlsFile('sslcert', demands.certFile)
  const key = readTlsFile('sslkey', demands.keyFile)
  const crl = readTlsFile('sslcrl', demands.crlFile)
  const verifies = mode === 'verify-ca' || mode === 'verify-full'
  return (host) => ({
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(crl && { crl }),
    ...(keyPassphrase !== undefined && { passphrase: keyPassphrase }),
    ...(minVersion && { minVersion }),
    ...(maxVersion && { maxVersion }),
    ...(direct && { ALPNProtocols: ['postgresql'] }),
    ...(sendsName && isIP(host) === 0 && { servername: host }),
    rejectUnauthorized: verifies,
    checkServerIdentity: (_name, certificate) =>
      mode === 'verify-full' ? checkServerIdentity(host, certificate) : undefined,
  })
}
