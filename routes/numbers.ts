import type { onSendHookHandler } from 'fastify'
import { restoreNumbers } from '../lib/exact-number.js'

/** The hook (for `onSend`) of routes that answer with properties: it writes their numbers as they are stored. */
export const writeNumbers: onSendHookHandler = (_request, _reply, payload, done) => {
  done(null, typeof payload === 'string' ? restoreNumbers(payload) : payload)
}
