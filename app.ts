import type {} from '@fastify/swagger'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyInstance, LogController } from 'fastify'
import type { AppConfig } from './config.js'
import { Site, splitTarget } from './lib/site.js'
import auth from './plugins/auth.js'
import bodies from './plugins/bodies.js'
import cacheControl from './plugins/cache-control.js'
import database from './plugins/database.js'
import emptyBodies from './plugins/empty-bodies.js'
import encodedAddresses from './plugins/encoded-addresses.js'
import errors, { parserErrorResponder, routerErrorResponder } from './plugins/errors.js'
import forwarded from './plugins/forwarded.js'
import handlerTimeout from './plugins/handler-timeout.js'
import instances from './plugins/instances.js'
import lists from './plugins/lists.js'
import mode from './plugins/mode.js'
import openapi from './plugins/openapi.js'
import pipelining from './plugins/pipelining.js'
import publicBodies from './plugins/public-bodies.js'
import representations from './plugins/representations.js'
import requestLimit from './plugins/request-limit.js'
import responseMemory from './plugins/response-memory.js'
import retention from './plugins/retention.js'
import securityHeaders, { bareHeaders } from './plugins/security-headers.js'
import signInLimit from './plugins/sign-in-limit.js'
import site from './plugins/site.js'
import sse from './plugins/sse.js'
import unknownAddresses from './plugins/unknown-addresses.js'
import unreadBodies from './plugins/unread-bodies.js'
import validation from './plugins/validation.js'
import authRoutes from './routes/auth.js'
import docsRoutes from './routes/docs.js'
import eventRoutes from './routes/events.js'
import healthRoutes from './routes/health.js'
import importRoutes from './routes/import.js'
import itemRoutes from './routes/items.js'
import revisionRoutes from './routes/revisions.js'
import serverRoutes from './routes/server.js'
import userRoutes from './routes/users.js'
import webRoutes from './routes/web.js'

declare module 'fastify' {
  interface FastifyInstance {
    readonly config: AppConfig
  }
}

/** The largest import has this long to arrive, in ms. */
const LONGEST_REQUEST_MS = 600_000
/** What a socket may have waiting before it counts as full, the same on every Node: most of what a slow reader costs. */
const SOCKET_BYTES = 16 * 1024
/** Who opens a connection and doesn't say what for within this time is cut off, in ms. */
const HEADERS_TIMEOUT_MS = 10_000

/**
 * The application as a function of its configuration: plugins, then routes, in the order in which they matter. It logs to
 * the standard output, or to the stream that is given.
 */
export async function buildApp(
  config: AppConfig,
  log?: { write(line: string): void },
): Promise<FastifyInstance> {
  const { PUBLIC_URL, HOST, PORT } = config
  const bare = bareHeaders(new Site(PUBLIC_URL, HOST, PORT).isTlsOnly)
  const app = Fastify({
    logger: {
      level: config.LOG_LEVEL,
      // PostgreSQL's complaint about a row quotes the row, a password's hash included.
      redact: { paths: ['err.detail', 'err.where'], remove: true },
      ...(log && { stream: log }),
    },
    // Who asked for what is the proxy's log; ours tells what went wrong.
    logController: new LogController({ disableRequestLogging: true }),
    // Until the last stream has ended, probes are still answered in the API's own words.
    return503OnClosing: false,
    // A target in absolute form is routed by its path; plugins/site.ts looks at its host.
    rewriteUrl: ({ url = '/' }) => splitTarget(url)?.path ?? url,
    bodyLimit: 1024 * 1024,
    // Whatever is smaller ends with its handler's time (handler-timeout.ts).
    requestTimeout: LONGEST_REQUEST_MS,
    http: {
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: HEADERS_TIMEOUT_MS / 4,
      highWaterMark: SOCKET_BYTES,
      // Its refusal has no form: plugins/site.ts says it.
      requireHostHeader: false,
    },
    clientErrorHandler: parserErrorResponder(bare),
    frameworkErrors: routerErrorResponder(bare),
  }).withTypeProvider<TypeBoxTypeProvider>()

  app.decorate('config', config)
  await app.register(errors)
  // First, so that also what another plugin refuses carries their headers.
  await app.register(securityHeaders)
  await app.register(cacheControl)
  await app.register(forwarded)
  await app.register(handlerTimeout)
  await app.register(pipelining)
  await app.register(unreadBodies)
  await app.register(emptyBodies)
  await app.register(bodies)
  await app.register(validation)
  await app.register(site)
  await app.register(publicBodies)
  await app.register(encodedAddresses)
  await app.register(unknownAddresses)
  await app.register(representations)
  await app.register(openapi)
  await app.register(database)
  await app.register(mode)
  await app.register(requestLimit)
  await app.register(auth)
  await app.register(responseMemory)
  await app.register(lists)
  await app.register(signInLimit)
  await app.register(instances)
  await app.register(sse)
  await app.register(retention)

  await app.register(healthRoutes)
  await app.register(authRoutes)
  await app.register(userRoutes)
  await app.register(serverRoutes)
  await app.register(itemRoutes)
  await app.register(importRoutes)
  await app.register(revisionRoutes)
  await app.register(eventRoutes)
  await app.register(docsRoutes)
  await app.register(webRoutes)
  return app
}
