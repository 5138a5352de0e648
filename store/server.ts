import type { StoredMode } from '../schemas/mode.js'
import { type Credential, author } from './author.js'
import type { Sql } from './connect.js'

/** The mode that an admin chose for all instances. */
export async function readMode(sql: Sql): Promise<StoredMode> {
  const [row] = await sql<{ mode: StoredMode }[]>`select mode from server_settings`
  if (!row) throw new Error('server_settings has lost its row')
  return row.mode
}

export async function writeMode(sql: Sql, by: Credential, mode: StoredMode): Promise<void> {
  await sql`
    with ${author(sql, by, 'admin')}
    update server_settings
       set mode = ${mode}
      from author
  `
}
