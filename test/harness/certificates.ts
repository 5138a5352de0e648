import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'

const execute = promisify(execFile)

const CONFIG = `[req]
distinguished_name = name
[name]
[ca]
default_ca = authority
[authority]
database = index.txt
default_md = sha256
default_crl_days = 2
`

/**
 * A certificate authority for one test. Its certificates are `<name>.pem` and `<name>.key` in one
 * folder. Needs `openssl`.
 */
export class Authority {
  private constructor(readonly folder: string) {}

  static async create(t: Test): Promise<Authority> {
    const folder = await mkdtemp(join(tmpdir(), 'silo-certificates-'))
    t.teardown(() => rm(folder, { recursive: true }))
    await writeFile(join(folder, 'config'), CONFIG)
    await writeFile(join(folder, 'index.txt'), '')
    const authority = new Authority(folder)
    await authority.#make('ca', '/CN=authority', ['-addext', 'basicConstraints=critical,CA:TRUE'])
    return authority
  }

  file(name: string): string {
    return join(this.folder, name)
  }

  async #openssl(...args: string[]): Promise<void> {
    await execute('openssl', args, { cwd: this.folder })
  }

  async #make(name: string, subject: string, args: string[]): Promise<void> {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    const files = ['-keyout', `${name}.key`, '-out', `${name}.pem`]
    await this.#openssl('req', '-x509', '-config', 'config', ...key, ...files, '-subj', subject, ...args)
  }

  /**
   * Issues a certificate.
   * @param alternatives the subject alternative names of a server (`DNS:…`, `IP:…`)
   */
  async sign(name: string, subject: string, alternatives?: string): Promise<void> {
    await this.#make(name, subject, [
      ...['-CA', 'ca.pem', '-CAkey', 'ca.key'],
      ...(alternatives === undefined ? [] : ['-addext', `subjectAltName=${alternatives}`]),
    ])
  }

  /** Writes a copy of the key that is encrypted with the passphrase, as `<name>-locked.key`. */
  async lock(name: string, passphrase: string): Promise<void> {
    const cipher = ['-aes256', '-passout', `pass:${passphrase}`]
    await this.#openssl('ec', '-in', `${name}.key`, '-out', `${name}-locked.key`, ...cipher)
  }

  /** Revokes the certificate of this name, and writes the revocation list `crl.pem`. */
  async revoke(name: string): Promise<void> {
    const signer = ['-config', 'config', '-cert', 'ca.pem', '-keyfile', 'ca.key']
    await this.#openssl('ca', ...signer, '-revoke', `${name}.pem`)
    await this.#openssl('ca', ...signer, '-gencrl', '-out', 'crl.pem')
  }
}
