import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from '../../tools/harness/ports.js'
import { eventually } from '../../tools/harness/eventually.js'

const RECIPES = new URL('deploy/proxies/', import.meta.resolve('#root'))

/** The port of a test's proxy, the ports of its upstreams, and a folder for its files. */
interface Site {
  port: number
  upstreamPorts: readonly [number, number]
  folder: string
}

interface Program {
  command: string
  args: string[]
  env?: Record<string, string>
}

export interface Recipe {
  /** The file in deploy/proxies. */
  file: string
  /** The program that must be installed. */
  program: string
  /** The text of the file with the addresses of this test. */
  adapt: (text: string, site: Site) => string
  /** Returns the program to run with the adapted file at `path`. */
  run: (path: string, site: Site) => Program | Promise<Program>
}

/** Replaces the addresses of both instances, in the form of all recipes but one. */
const withUpstreams = (text: string, [first, second]: Site['upstreamPorts']): string =>
  text.replaceAll('silo-1:8080', `127.0.0.1:${first}`).replaceAll('silo-2:8080', `127.0.0.1:${second}`)

/**
 * Returns the configuration that Debian's Apache has around a site, with the modules that the recipe names.
 */
function apacheAround(path: string, recipe: string, { folder }: Site): string {
  const modules = /^# a2enmod (.+)$/m.exec(recipe)?.[1]?.split(' ') ?? []
  const load = ['mpm_event', 'authz_core', ...modules].map(
    (name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`,
  )
  return [
    `ServerRoot ${folder}`,
    `PidFile ${folder}/pid`,
    `Mutex file:${folder} default`,
    `DefaultRuntimeDir ${folder}`,
    `ErrorLog ${folder}/error.log`,
    'ServerName localhost',
    'User www-data',
    'Group www-data',
    ...load,
    `Include ${path}`,
    '',
  ].join('\n')
}

const runCaddy: Recipe['run'] = (path, { folder }) => ({
  command: 'caddy',
  args: ['run', '--adapter', 'caddyfile', '--config', path],
  env: { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
})

export const RECIPES_BY_NAME: Record<string, Recipe> = {
  HAProxy: {
    file: 'haproxy.cfg',
    program: 'haproxy',
    adapt: (text, { port, upstreamPorts }) =>
      withUpstreams(text, upstreamPorts).replace(/^ {2}bind :80$/m, `  bind 127.0.0.1:${port}`),
    run: (path) => ({ command: 'haproxy', args: ['-db', '-f', path] }),
  },
  Caddy: {
    file: 'Caddyfile',
    program: 'caddy',
    adapt: (text, { port, upstreamPorts }) =>
      withUpstreams(text, upstreamPorts).replace(/^:80 \{$/m, `http://127.0.0.1:${port} {`),
    run: runCaddy,
  },
  Varnish: {
    file: 'varnish.vcl',
    program: 'varnishd',
    adapt: (text, { upstreamPorts }) => {
      const ports = [...upstreamPorts]
      return text
        .replace(/"silo-[12]"/g, '"127.0.0.1"')
        .replace(/\.port = "8080"/g, () => `.port = "${ports.shift()}"`)
    },
    run: (path, { folder, port }) => ({
      command: 'varnishd',
      args: ['-F', '-n', folder, '-a', `127.0.0.1:${port}`, '-T', 'none', '-s', 'malloc,16m', '-f', path],
    }),
  },
  Apache: {
    file: 'apache.conf',
    program: 'apache2',
    adapt: (text, { port, upstreamPorts, folder }) =>
      withUpstreams(text, upstreamPorts)
        .replace('<VirtualHost *:80>', `Listen 127.0.0.1:${port}\n<VirtualHost 127.0.0.1:${port}>`)
        .replaceAll('/etc/apache2/silo/', `${folder}/`),
    run: async (path, site) => {
      await copyFile(new URL('outage.asis', RECIPES), join(site.folder, 'outage.asis'))
      const around = join(site.folder, 'apache2.conf')
      await writeFile(around, apacheAround(path, await readFile(path, 'utf8'), site))
      return { command: 'apache2', args: ['-D', 'FOREGROUND', '-f', around] }
    },
  },
}

/** The server that Traefik falls back to, since Traefik cannot serve a fixed response. */
export const OUTAGE_SERVER: Recipe = {
  file: 'outage.Caddyfile',
  program: 'caddy',
  adapt: (text, { port }) => text.replace(/^:8081 \{$/m, `http://127.0.0.1:${port} {`),
  run: runCaddy,
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const open = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
  })
  socket.destroy()
  return open
}

/** Ends a process and waits for its exit. It is killed if it does not exit within 5 s. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const kill = setTimeout(() => child.kill('SIGKILL'), 5000)
  await ended
  clearTimeout(kill)
}

/**
 * Starts a proxy with a recipe of deploy/proxies, in which only the addresses are replaced, in front of two
 * ports of 127.0.0.1. It is ended when the test ends.
 * @returns its origin
 */
export async function startProxy(
  t: Test,
  recipe: Recipe,
  upstreamPorts: readonly [number, number],
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'silo-proxy-'))
  // Some proxies drop their privileges before they read the folder.
  await chmod(folder, 0o755)
  const site = { port: await freePort(), upstreamPorts, folder }
  const path = join(folder, recipe.file)
  await writeFile(path, recipe.adapt(await readFile(new URL(recipe.file, RECIPES), 'utf8'), site))
  const { command, args, env } = await recipe.run(path, site)
  const child = spawn(command, args, {
    // Debian installs servers in folders that are not in every user's PATH.
    env: { ...env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/usr/local/sbin` },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  }
  t.teardown(async () => {
    await end(child)
    await rm(folder, { recursive: true, force: true })
  })
  await eventually(`${command} to listen`, () => {
    if (child.exitCode !== null) throw new Error(`${command} ended:\n${output}`)
    return isListening(site.port)
  })
  return `http://127.0.0.1:${site.port}`
}
