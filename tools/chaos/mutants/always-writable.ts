import * as genuine from '../../../store/server.js'

export * from '../../../store/server.js'

/** Reports that the database takes writes when it does not. */
export const readState: typeof genuine.readState = async (sql) => ({
  ...(await genuine.readState(sql)),
  writable: true,
})
