import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './ports.js'

const CONFIGURATION = new URL('nginx.conf', import.meta.resolve('#root'))

/** Returns the parameters of an upstream server in the project's nginx.conf. */
export const readShippedParameters = async (): Promise<string> =>
  /server silo-1:8080 ?([^;]*);/.exec(await readFile(CONFIGURATION, 'utf8'))?.[1] ?? ''

/** Compresses every response if the client accepts that, event streams too. Entity tags then become weak. */
const COMPRESSING = `
events {}
http {
  access_log off;
  gzip on;
  gzip_types *;
  gzip_min_length 1;
  gzip_comp_level 1;
  gzip_proxied any;
  upstream silo {
    server silo-1:8080;
  }
  server {
    listen 80;
    location / {
      proxy_pass http://silo;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_next_upstream off;
    }
  }
}
`

/** A real nginx, of whose configuration only the ports and paths are replaced. */
export class Nginx {
  #process: ChildProcess | undefined

  private constructor(
    readonly port: number,
    readonly folder: string,
  ) {}

  /**
   * Starts nginx with the project's own configuration.
   * @param tlsProxy the address of a TLS-terminating proxy in front of nginx. It replaces the placeholders of
   * the configuration.
   * @param parameters the parameters of each upstream server; `readShippedParameters` returns those that are
   * shipped
   * @param edit changes the text of the configuration, as an operator may do
   * @throws {Error} when nginx is not installed or does not start
   */
  static async start(
    upstreamPorts: readonly number[],
    tlsProxy?: string,
    parameters = 'max_fails=0',
    edit = (text: string) => text,
  ): Promise<Nginx> {
    const text = (await readFile(CONFIGURATION, 'utf8'))
      .replace('# 192.0.2.10 1;', tlsProxy === undefined ? '' : `${tlsProxy} 1;`)
      .replace(
        '# set_real_ip_from 192.0.2.10;',
        tlsProxy === undefined ? '' : `set_real_ip_from ${tlsProxy};`,
      )
      .replace(/^user [^;]+;$/m, '')
      .replace(/^pid [^;]+;$/m, '')
    return Nginx.#startWith(edit(text), upstreamPorts, parameters)
  }

  /**
   * Starts an nginx that compresses everything.
   * @throws {Error} when nginx is not installed or does not start
   */
  static startCompressing(upstreamPorts: readonly number[]): Promise<Nginx> {
    return Nginx.#startWith(COMPRESSING, upstreamPorts, 'max_fails=0')
  }

  static async #startWith(
    text: string,
    upstreamPorts: readonly number[],
    parameters: string,
  ): Promise<Nginx> {
    const port = await freePort()
    const folder = await mkdtemp(join(tmpdir(), 'silo-nginx-'))
    const servers = upstreamPorts
      .map((upstream) => `server 127.0.0.1:${upstream} ${parameters};`)
      .join('\n    ')
    const configuration = text
      .replace(/(upstream \w+ \{\n)(?:\s*server [^;]+;\n)+/, `$1    ${servers}\n`)
      .replace(/listen 80[^;]*;/g, `listen 127.0.0.1:${port};`)
    await writeFile(join(folder, 'nginx.conf'), configuration)
    const nginx = new Nginx(port, folder)
    try {
      await nginx.#spawn()
      return nginx
    } catch (err) {
      await rm(folder, { recursive: true })
      throw err
    }
  }

  async #spawn(): Promise<void> {
    const { folder } = this
    const globals = `daemon off; pid ${folder}/pid; error_log ${folder}/error.log;`
    const child = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-g', globals], {
      // Debian installs nginx in /usr/sbin, which is not in the PATH of every user.
      env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/usr/local/sbin` },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let complaint = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text))
    await Promise.race([once(child, 'spawn'), once(child, 'close')])
    if (!(await isListening(this.port, child))) throw new Error(`nginx does not start: ${complaint}`)
    this.#process = child
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`
  }

  reload(): void {
    this.#process?.kill('SIGHUP')
  }

  /** Stops nginx, which ends every connection through it, and starts it again. */
  async restart(): Promise<void> {
    await this.#end()
    await this.#spawn()
  }

  async #end(): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (child?.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await ended
  }

  async stop(): Promise<void> {
    await this.#end()
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
