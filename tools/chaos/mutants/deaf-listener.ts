import * as genuine from '../../../store/driver/pool.js'
import type { Sql } from '../../../store/driver/connect.js'

export * from '../../../store/driver/pool.js'

/** Drops the callback `onlisten`: the log is not read again after the listening connection was down. */
export const openPool: typeof genuine.openPool = (...options) => {
  const pool = genuine.openPool(...options)
  const listen: Sql['listen'] = (channel, onNotify) => pool.listen(channel, onNotify)
  return new Proxy(pool, {
    get: (target, name): unknown => (name === 'listen' ? listen : Reflect.get(target, name)),
  })
}
