import { existsSync, readFileSync } from 'node:fs'

/** The published catalogue, which is not part of the project. `SILO_CATALOGUE` overrides its path. */
const PUBLISHED =
  process.env.SILO_CATALOGUE ??
  new URL('../shared/data/lumenpnp-part-catalog.csv', import.meta.resolve('#root')).pathname

/** Generates 86 parts in the format of the published catalogue. */
function makeUp(): string {
  const header = 'Part Number,Part Name,Comment,Optional,Source 1,Source 1 URL'
  const rows = Array.from({ length: 86 }, (_, n) => {
    const name = n < 2 ? `y-gantry-${n}` : `"leg, ""left"" ${n}"`
    const comment = n === 2 ? 'Print using gantry settings' : ''
    return `FDM-${String(n + 1).padStart(4, '0')},${name},${comment},,Opulo,`
  })
  return [header, ...rows, ''].join('\n')
}

/** Returns a catalogue of 86 parts: the published one if it can be read. */
export function readCatalogue(): { csv: string; published: boolean } {
  const published = existsSync(PUBLISHED)
  return { csv: published ? readFileSync(PUBLISHED, 'utf8') : makeUp(), published }
}
