import type { onSendHookHandler } from 'fastify'
import { restoreNumbers } from '../lib/exact-number.js'

/**
 * Hook (`onSend`) for routes whose responses contain properties: writes their numbers exactly as they are
 * stored.
 */
export const writeNumbers: onSendHookHandler = (_request, _reply, payload, done) => {
  done(null, typeof payload === 'string' ? restoreNumbers(payload) : payload)
}
