import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyInstance, LogController } from 'fastify'
import type { AppConfig } from './config.js'
import auth from './plugins/auth.js'
import database from './plugins/database.js'
import errors from './plugins/errors.js'
import mode from './plugins/mode.js'
import sse from './plugins/sse.js'
import validation from './plugins/validation.js'
import importItems from './routes/import.js'
import items from './routes/items.js'
import revisions from './routes/revisions.js'

declare module 'fastify' {
  interface FastifyInstance {
    readonly config: AppConfig
  }
}

/** The application as a function of its configuration: plugins, then routes, in the order in which they matter. */
export async function buildApp(config: AppConfig): Promise<FastifyInstance> {
  const app = Fastify({
    logger: { level: config.LOG_LEVEL },
    // Who asked for what is the proxy's log; ours tells what went wrong.
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: config.TRUST_PROXY.length > 0 && config.TRUST_PROXY,
    // Until the last stream has ended, probes are still answered in the API's own words.
    return503OnClosing: false,
    bodyLimit: 1024 * 1024,
  }).withTypeProvider<TypeBoxTypeProvider>()

  app.decorate('config', config)
  await app.register(errors)
  await app.register(validation)
  await app.register(database)
  await app.register(mode)
  await app.register(auth)
  await app.register(sse)
  await app.register(items)
  await app.register(importItems)
  await app.register(revisions)
  return app
}
