import type { Static } from '@sinclair/typebox'
import type { ErrorCode, ErrorDetail } from '../../errors.js'
import type { Account as ApiAccount, SignedIn as SignedInSchema } from '../../schemas/auth.js'
import type { EVENT_DATA, EventType, FeedEventType } from '../../schemas/events.js'
import type { ImportResult as ApiImportResult, RowError } from '../../schemas/import.js'
import type {
  Content as ApiContent,
  Item as ApiItem,
  ItemPage as ItemPageSchema,
} from '../../schemas/items.js'
import type { Revision as ApiRevision, RevisionPage as RevisionPageSchema } from '../../schemas/revisions.js'
import type { ServerStatus as ServerStatusSchema } from '../../schemas/server.js'
import { parse, stringify } from './json.js'
import { signInAgain } from './sign-in.js'

/** A value of the service as JSON has it: times are strings, and `properties` have values of any form. */
type Wire<T> = T extends Date
  ? string
  : T extends readonly (infer Entry)[]
    ? Wire<Entry>[]
    : T extends object
      ? { [Name in keyof T]: Name extends 'properties' ? Record<string, unknown> : Wire<T[Name]> }
      : T

export type Account = Wire<ApiAccount>
export type SignedIn = Wire<Static<typeof SignedInSchema>>
export type ServerStatus = Wire<Static<typeof ServerStatusSchema>>
export type Item = Wire<ApiItem>
/** The fields of an item that users write. */
export type Content = Pick<Item, keyof ApiContent>
/** An item, with the entity tag of its revision. */
export type TaggedItem = Item & { etag: string }
export type ItemPage = Wire<Static<typeof ItemPageSchema>>
export type Revision = Wire<ApiRevision>
export type RevisionPage = Wire<Static<typeof RevisionPageSchema>>
export type ImportResult = Wire<ApiImportResult>

/** The data of the events of a type. */
export type DataOf<Type extends FeedEventType> = Wire<Static<(typeof EVENT_DATA)[Type]>>

/** An event of the log. */
export interface LogEvent {
  id: string
  type: EventType
  data: DataOf<EventType>
}

/** Takes the place of events that the log no longer has. */
interface ResetEvent {
  id: string
  type: 'reset'
  data: DataOf<'reset'>
}

export interface EventPage {
  events: (LogEvent | ResetEvent)[]
  next: string
  head: string
}

/** The body of an error response. */
export interface ErrorBody {
  error: ErrorCode
  message: string
  details?: ErrorDetail[]
  /** The rows that are wrong, of a refused import. */
  errors?: RowError[]
}

/** An error response of the API. */
export class ApiError extends Error {
  readonly status: number
  /** The `error` of its body. */
  readonly code: ErrorCode
  /** The fields that are wrong. */
  readonly details: ErrorDetail[]
  readonly body: ErrorBody

  constructor(status: number, body: ErrorBody) {
    const { error, message, details = [] } = body
    super(details.map((detail) => `${detail.field} ${detail.message}`).join('; ') || message)
    this.status = status
    this.code = error
    this.details = details
    this.body = body
  }
}

/** Returns the code of an error of the API; undefined for any other error. */
export const codeOf = (error: unknown): ErrorCode | undefined =>
  error instanceof ApiError ? error.code : undefined

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

interface RequestOptions {
  headers?: Record<string, string>
  body?: string | File | undefined
  signal?: AbortSignal | undefined
}

/**
 * Sends a request to the API and returns its response. If the session has ended, it shows the sign-in dialog,
 * and then sends the request again.
 * @throws {ApiError} for an error response; rejects as `fetch` does if there is no response
 */
export async function request(
  method: string,
  path: string,
  { headers, body, signal }: RequestOptions = {},
): Promise<Response> {
  const response = await fetch(path, {
    method,
    headers: { accept: 'application/json', ...headers },
    body: body ?? null,
    signal: signal ?? null,
  })
  if (response.ok) return response
  if (response.status === 401) {
    await signInAgain()
    return request(method, path, { headers, body, signal })
  }
  throw new ApiError(response.status, (await response.json()) as ErrorBody)
}

/**
 * Parses the body of a response that is an item, with numbers exactly as they are written (json.ts), and adds
 * its entity tag.
 */
export async function readTagged(response: Response): Promise<TaggedItem> {
  const item = parse(await response.text()) as Item
  return { ...item, etag: response.headers.get('etag') ?? '' }
}

/**
 * Reads JSON from the API, with numbers exactly as they are written (json.ts). The service serializes its
 * responses by the schemas of these types, so they are not checked again.
 */
export async function read(path: '/api/auth/me', signal?: AbortSignal): Promise<Account>
export async function read(path: `/api/events?${string}`, signal?: AbortSignal): Promise<EventPage>
export async function read(path: `/api/items?${string}`, signal?: AbortSignal): Promise<ItemPage>
export async function read(
  path: `/api/items/${string}/revisions?${string}`,
  signal?: AbortSignal,
): Promise<RevisionPage>
export async function read(
  path: `/api/items/${string}/revisions/${number}`,
  signal?: AbortSignal,
): Promise<Revision>
export async function read(path: string, signal?: AbortSignal): Promise<unknown> {
  const response = await request('GET', path, { signal })
  return parse(await response.text())
}

/** Sends JSON to the API and returns its response. `headers` may contain `if-match`. */
export function send(
  method: string,
  path: string,
  value?: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  const body = value === undefined ? undefined : stringify(value)
  const type = body === undefined ? undefined : { 'content-type': 'application/json' }
  return request(method, path, { headers: { ...type, ...headers }, body })
}
