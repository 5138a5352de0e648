import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './ports.js'

const CONFIGURATION = new URL('nginx.conf', import.meta.resolve('#root'))

/** What the configuration says of each upstream server. */
export const readShippedParameters = async (): Promise<string> =>
  /server silo-1:8080 ?([^;]*);/.exec(await readFile(CONFIGURATION, 'utf8'))?.[1] ?? ''

/** A real nginx with the project's own configuration; only its ports and paths are this run's. */
export class Nginx {
  private constructor(
    readonly port: number,
    readonly folder: string,
    readonly process: ChildProcess,
  ) {}

  /**
   * @param tlsProxy the address of a proxy in front that ends TLS, entered where the configuration says
   * @param parameters of each upstream server; the shipped ones are those of `readShippedParameters`
   * @throws {Error} when nginx is not installed or does not start
   */
  static async start(
    upstreamPorts: readonly number[],
    tlsProxy?: string,
    parameters = 'max_fails=0',
  ): Promise<Nginx> {
    const port = await freePort()
    const folder = await mkdtemp(join(tmpdir(), 'silo-nginx-'))
    const servers = upstreamPorts
      .map((upstream) => `server 127.0.0.1:${upstream} ${parameters};`)
      .join('\n    ')
    const text = (await readFile(CONFIGURATION, 'utf8'))
      .replace(/(upstream \w+ \{\n)(?:\s*server [^;]+;\n)+/, `$1    ${servers}\n`)
      .replace(/listen [^;]+;/g, `listen 127.0.0.1:${port};`)
      .replace('# 192.0.2.10 1;', tlsProxy === undefined ? '' : `${tlsProxy} 1;`)
      .replace(
        '# set_real_ip_from 192.0.2.10;',
        tlsProxy === undefined ? '' : `set_real_ip_from ${tlsProxy};`,
      )
      .replace(/^user [^;]+;$/m, '')
      .replace(/^pid [^;]+;$/m, '')
    await writeFile(join(folder, 'nginx.conf'), text)
    const globals = `daemon off; pid ${folder}/pid; error_log ${folder}/error.log;`
    const child = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-g', globals], {
      // Debian installs it where not every user's path leads.
      env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/usr/local/sbin` },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let complaint = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text))
    try {
      await Promise.race([once(child, 'spawn'), once(child, 'close')])
      if (await isListening(port, child)) return new Nginx(port, folder, child)
      throw new Error(`nginx does not start: ${complaint}`)
    } catch (err) {
      await rm(folder, { recursive: true })
      throw err
    }
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`
  }

  reload(): void {
    this.process.kill('SIGHUP')
  }

  async stop(): Promise<void> {
    const ended = once(this.process, 'exit')
    this.process.kill('SIGTERM')
    await ended
    await rm(this.folder, { recursive: true })
  }
}

async function isListening(port: number, child: ChildProcess): Promise<boolean> {
  while (child.exitCode === null) {
    const socket = connect(port, '127.0.0.1')
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    socket.destroy()
    if (open) return true
    await delay(50)
  }
  return false
}
