/** What the service prints when it listens, and at which address. */
export const LISTENING = /^Silo is listening at (\S+)$/m

/** The limits of an operator who expects this many subscribers from one address. */
export const MANY_CLIENTS = {
  SSE_MAX_CLIENTS: '20000',
  SSE_MAX_CLIENTS_PER_USER: '20000',
  SSE_MAX_CLIENTS_PER_ADDRESS: '20000',
}
