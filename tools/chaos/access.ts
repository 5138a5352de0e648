import type { Sql } from '../../store/driver/connect.js'
import { createToken } from '../harness/tokens.js'

/** How long a revoked credential may still be accepted, in ms (docs/SPECIFICATION.md, section 5). */
const SHUT_OUT_AFTER_MS = 5000

/** An API token of a run, which a fault can revoke and restore. */
export class Access {
  #revokedAt = Infinity

  private constructor(
    readonly id: string,
    readonly token: string,
  ) {}

  /** Creates an editor with this name, and an API token for this user. */
  static async create(sql: Sql, name: string): Promise<Access> {
    const { id, secret } = await createToken(sql, 'editor', name)
    return new Access(id, secret)
  }

  /** True once the token has been revoked for so long that no event may arrive with it any more. */
  get mustBeShutOut(): boolean {
    return performance.now() - this.#revokedAt > SHUT_OUT_AFTER_MS
  }

  /** Revokes the token in the database. */
  async revoke(sql: Sql): Promise<void> {
    await sql`update tokens set revoked_at = now() where id = ${this.id}`
    this.#revokedAt = performance.now()
  }

  /** Makes the token valid again. */
  async restore(sql: Sql): Promise<void> {
    this.#revokedAt = Infinity
    await sql`update tokens set revoked_at = null where id = ${this.id}`
  }
}
