import { createHash, randomBytes } from 'node:crypto'
import type { Sql } from '../../store/driver/connect.js'

/** How long a revoked credential may still be accepted, in ms (docs/SPECIFICATION.md, section 5). */
const SHUT_OUT_AFTER_MS = 5000

/** An API token of a run, which a fault can revoke and restore. */
export class Access {
  #revokedAt = Infinity

  private constructor(
    readonly name: string,
    readonly token: string,
  ) {}

  /**
   * Creates a user with this name and an API token that lasts longer than any jump of an instance's clock.
   */
  static async create(sql: Sql, name: string): Promise<Access> {
    const secret = `silo_${randomBytes(32).toString('base64url')}`
    const hash = createHash('sha256').update(secret).digest()
    await sql`
      with person as (
        insert into users (username, display_name, role, password_hash)
        values (${name}, ${name}, 'editor', 'none')
        returning id
      )
      insert into tokens (user_id, kind, name, role, hash, expires_at)
      select id, 'api', ${name}, 'editor', ${hash}, now() + interval '10 years'
        from person
    `
    return new Access(name, secret)
  }

  /** True once the token has been revoked for so long that no event may arrive with it any more. */
  get mustBeShutOut(): boolean {
    return performance.now() - this.#revokedAt > SHUT_OUT_AFTER_MS
  }

  /** Revokes the token in the database. */
  async revoke(sql: Sql): Promise<void> {
    await sql`update tokens set revoked_at = now() where name = ${this.name}`
    this.#revokedAt = performance.now()
  }

  /** Makes the token valid again. */
  async restore(sql: Sql): Promise<void> {
    this.#revokedAt = Infinity
    await sql`update tokens set revoked_at = null where name = ${this.name}`
  }
}
