import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import {
  type ConnectionOptions,
  type SecureContext,
  checkServerIdentity,
  createSecureContext,
} from 'node:tls'
import type { TlsDemands } from '../../lib/database-url.js'
import { StartError } from '../../errors.js'

/** @throws {StartError} if the file can't be read */
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
 * Returns the reason of a TLS error in one line. Messages of OpenSSL end with names of its own source files,
 * so its `reason` is preferred.
 */
export function tlsReasonOf(err: unknown): string {
  if (!(err instanceof Error)) return String(err)
  return 'reason' in err && typeof err.reason === 'string' ? err.reason : err.message
}

/**
 * Whether the error is one of the TLS protocol, such as the server's rejection of a client certificate, which
 * arrives after the handshake.
 */
export const isTlsAlert = (err: unknown): boolean =>
  err instanceof Error && 'code' in err && String(err.code).startsWith('ERR_SSL_')

/**
 * Reads the certificates and keys.
 * @throws {StartError} for a file that can't be read or has no certificate, a key that belongs to another
 * certificate, or a wrong passphrase
 */
function makeContext(demands: TlsDemands): SecureContext {
  const { keyPassphrase, minVersion, maxVersion } = demands
  const ca = readTlsFile('sslrootcert', demands.rootCertFile)
  const crl = readTlsFile('sslcrl', demands.crlFile)
  const cert = readTlsFile('sslcert', demands.certFile)
  const key = readTlsFile('sslkey', demands.keyFile)

  function attempt<T>(parameters: string, make: () => T): T {
    try {
      return make()
    } catch (err) {
      throw new StartError(`${parameters} of DATABASE_URL can't be used: ${tlsReasonOf(err)}`)
    }
  }
  // Node ignores a file of authorities that contains none.
  if (ca) attempt('sslrootcert', () => new X509Certificate(ca))
  if (crl) attempt('sslcrl', () => createSecureContext({ crl }))
  return attempt('sslcert, sslkey or sslpassword', () =>
    createSecureContext({
      ...(ca && { ca }),
      ...(cert && { cert }),
      ...(key && { key }),
      ...(crl && { crl }),
      ...(keyPassphrase !== undefined && { passphrase: keyPassphrase }),
      ...(minVersion && { minVersion }),
      ...(maxVersion && { maxVersion }),
    }),
  )
}

/**
 * Returns a function that makes Node's TLS options for a host. Only the two `verify-` modes authenticate the
 * server, and only `verify-full` checks its name.
 * @throws {StartError} for a file that can't be read or used
 */
export function tlsOptions(demands: TlsDemands): (host: string) => ConnectionOptions {
  const { mode, sendsName, direct } = demands
  const secureContext = makeContext(demands)
  const verifies = mode === 'verify-ca' || mode === 'verify-full'
  return (host) => ({
    secureContext,
    ...(direct && { ALPNProtocols: ['postgresql'] }),
    ...(sendsName && isIP(host) === 0 && { servername: host }),
    rejectUnauthorized: verifies,
    checkServerIdentity: (_name, certificate) =>
      mode === 'verify-full' ? checkServerIdentity(host, certificate) : undefined,
  })
}
