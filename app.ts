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
import itemWrite from './plugins/item-write.js'
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
import streamAccess from './plugins/stream-access.js'
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

/** How long the largest import may take to arrive, in ms. */
const LONGEST_REQUEST_MS = 600_000
/**
 * High-water mark of sockets, in bytes: a socket whose buffer holds this much counts as full. Set here,
 * because Node's default depends on its version. The buffer is most of the memory that a slow reader costs.
 */
const SOCKET_BYTES = 16 * 1024
/** How long a client may take to send the headers of a request, in ms. */
const HEADERS_TIMEOUT_MS = 10_000

/**
 * Builds the application: plugins, then routes, in the order in which they matter.
 * @param log receives the log lines, instead of the standard output
 * @throws {StartError} if the database can't be used
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
      // PostgreSQL's error about a row quotes the row, which may hold a password hash.
      redact: { paths: ['err.detail', 'err.where'], remove: true },
      ...(log && { stream: log }),
    },
    // Requests are in the log of the proxy; this log holds what went wrong.
    logController: new LogController({ disableRequestLogging: true }),
    // Until the last stream has ended, health checks get the responses of the API.
    return503OnClosing: false,
    // A target in absolute form is routed by its path; plugins/site.ts checks its host.
    rewriteUrl: ({ url = '/' }) => splitTarget(url)?.path ?? url,
    bodyLimit: 1024 * 1024,
    // The timeout of the slowest route. Other routes have a shorter one (plugins/handler-timeout.ts).
    requestTimeout: LONGEST_REQUEST_MS,
    http: {
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: HEADERS_TIMEOUT_MS / 4,
      highWaterMark: SOCKET_BYTES,
      // Node's refusal has no error body; plugins/site.ts refuses the request instead.
      requireHostHeader: false,
    },
    clientErrorHandler: parserErrorResponder(bare),
    frameworkErrors: routerErrorResponder(bare),
  }).withTypeProvider<TypeBoxTypeProvider>()

  app.decorate('config', config)
  await app.register(errors)
  // First, so that responses by which other plugins refuse a request have these headers, too.
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
  await app.register(streamAccess)
  await app.register(itemWrite)
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
