import fp from 'fastify-plugin'
import type { Role } from '../schemas/auth.js'
import { findPrincipals } from '../store/tokens.js'

/** How often the access of the open streams is checked, in ms. */
const CHECK_MS = 2000

/**
 * Ends open streams whose token has expired, was revoked, or has another role than when the stream was
 * opened.
 */
export default fp(
  async (app) => {
    const { mode } = app
    const { feed } = app.sse

    async function checkAccess(): Promise<void> {
      // The tokens of the streams that are open now: a stream that opens during the query is not affected by
      // its result. While the database is unreachable, only streams with expired tokens are ended.
      const tokenIds = mode.databaseLost ? new Set<string>() : feed.tokenIds
      const roles = await readRoles(tokenIds)
      feed.endAccess(({ tokenId, role }) => tokenIds.has(tokenId) && roles.get(tokenId) !== role)
    }

    /** Reads the roles of the tokens that are valid. */
    async function readRoles(tokenIds: Set<string>): Promise<Map<string, Role>> {
      const principals = tokenIds.size > 0 ? await findPrincipals(app.feedDb, [...tokenIds]) : []
      return new Map(principals.map(({ token_id, role }) => [token_id, role]))
    }

    const timer = setInterval(() => {
      checkAccess().catch((err: unknown) =>
        app.log.warn({ err }, 'failed to check the access of open streams'),
      )
    }, CHECK_MS)
    app.addHook('onClose', async () => clearInterval(timer))
  },
  { name: 'stream-access', dependencies: ['database', 'mode', 'sse'] },
)
