/**
 * A minimal server for the same requests and the same database: Fastify, the same driver with as many
 * connections, and one literal statement for each route. No sign-in, no schemas, no limits, no headers, no
 * log. It reads Silo's table, and writes into a table with the same columns, checks and indexes but no
 * triggers.
 */
import Fastify from 'fastify'
import postgres from 'postgres'
import { listenAndTell } from './peer.js'

interface Item {
  part_number: string
  description: string
  properties: postgres.JSONValue
}

const sql = postgres(process.env.DATABASE_URL ?? '', { max: 10, onnotice: () => undefined })
const app = Fastify()

app.post<{ Body: Item }>('/api/items', async (request, reply) => {
  const { part_number, description, properties } = request.body
  const [item] = await sql`
    insert into bench_items (part_number, description, properties)
    values (${part_number}, ${description}, ${sql.json(properties)})
    returning id, part_number, item_type, description, long_description, sourcing_type, properties,
              revision, created_at, created_by, updated_at, updated_by
  `
  return reply.code(201).send(item)
})

app.get<{ Params: Item }>('/api/items/:part_number', async (request, reply) => {
  const [item] = await sql`
    select id, part_number, item_type, description, long_description, sourcing_type, properties,
           revision, created_at, created_by, updated_at, updated_by
      from items
     where lower(part_number) = lower(${request.params.part_number} collate "C")
       and archived_at is null
  `
  if (!item) return reply.code(404).send()
  const etag = `"${String(item.revision)}"`
  reply.header('etag', etag)
  return request.headers['if-none-match'] === etag ? reply.code(304).send() : item
})

app.get<{ Querystring: { search?: string } }>('/api/items', async (request) => {
  const { search } = request.query
  if (search === undefined) {
    const items = await sql`
      select id, part_number, item_type, description, long_description, sourcing_type, properties,
             revision, created_at, created_by, updated_at, updated_by
        from items
       where archived_at is null
       order by lower(part_number)
       limit 51
    `
    return { items }
  }
  const items = await sql`
    select id, part_number, item_type, description, long_description, sourcing_type, properties,
           revision, created_at, created_by, updated_at, updated_by
      from items
     where archived_at is null
       and (lower((part_number || ' ' || description) collate "default") like lower(${`%${search}%`})
            or ${false})
     order by lower(part_number)
     limit ${51}
  `
  return { items }
})

await app.ready()
listenAndTell(app.server)
