import { type Static, Type } from '@sinclair/typebox'
import { BOUNDS } from './bounds.js'
import { Cursor, NextCursor, PageSize } from './cursor.js'
import { NullableTimestamp, Timestamp } from './timestamp.js'
import { UUID, Uuid } from './uuid.js'

/** The roles of a user or a token, in ascending order: each includes the rights of those before it. */
export const ROLES = ['viewer', 'editor', 'admin'] as const

export const Role = Type.Unsafe<(typeof ROLES)[number]>({
  type: 'string',
  enum: [...ROLES],
  description: '`viewer` reads, `editor` also writes items, `admin` also manages users and the mode.',
})
export type Role = Static<typeof Role>

const closed = { additionalProperties: false }

/**
 * A username and a password. The bounds are wider than those of a user: a sign-in with a name that can't
 * exist fails like one with a wrong password, not with a validation error.
 */
export const Credentials = Type.Object(
  {
    username: Type.String({
      minLength: 1,
      maxLength: 256,
      format: 'text',
      description: 'The username.',
    }),
    password: Type.String({
      minLength: 1,
      maxLength: 1024,
      format: 'text',
      description: 'The password of the user.',
    }),
  },
  { ...closed, examples: [{ username: 'admin', password: '…' }] },
)
export type Credentials = Static<typeof Credentials>

/** The credentials as the sign-in page's form sends them, with the path to redirect to. */
export const SignInForm = Type.Object(
  {
    ...Credentials.properties,
    next: Type.Optional(
      Type.String({
        maxLength: 2048,
        format: 'text',
        description: 'The path of this service to redirect to after signing in.',
      }),
    ),
  },
  { ...closed, examples: [{ username: 'admin', password: '…', next: '/' }] },
)

/** The authenticated user. `role` is the lower one of the user's role and the token's. */
export const Account = Type.Object({
  id: Type.String({ format: 'uuid', description: 'The id of the user. It never changes.' }),
  username: Type.String({ description: 'The name that the user signs in with.' }),
  display_name: Type.String({ description: 'The name that pages show.' }),
  role: Role,
  auth_source: Type.Literal('local', {
    description: 'Where the user is managed: `local`, in the database of this service.',
  }),
})
export type Account = Static<typeof Account>

/** The response of `POST /api/auth/login`. `token` is the JWT of the session. */
export const SignedIn = Type.Object({
  token: Type.String({ description: 'The token of the session. Send it as `Authorization: Bearer …`.' }),
  token_type: Type.Literal('Bearer', { description: 'The scheme of the header `Authorization`.' }),
  expires_at: Timestamp,
  user: Type.Object(Account.properties, { description: 'The user who is signed in.' }),
})

/** An API token, without its secret. */
export const Token = Type.Object({
  id: Type.String({ format: 'uuid', description: 'The id of the token, to revoke it by.' }),
  name: Type.String({ description: 'What the token is for.' }),
  role: Role,
  created_at: Timestamp,
  expires_at: Timestamp,
  last_used_at: NullableTimestamp,
})
export type Token = Static<typeof Token>

/** The response of `GET /api/auth/tokens`. */
export const TokenList = Type.Object({
  tokens: Type.Array(Token, { description: 'The tokens of the page, newest first.' }),
  next_cursor: NextCursor,
})

/** The query of `GET /api/auth/tokens`. */
export const TokenQuery = Type.Object(
  { limit: PageSize, cursor: Type.Optional(Cursor) },
  { additionalProperties: false },
)

/** The content of a cursor of the list of tokens: the last token of the page, its time in ms since 1970. */
export const TokenPosition = Type.Object({
  at: Type.Integer({ minimum: 0, maximum: 253_402_300_799_999 }),
  id: Type.String({ pattern: UUID.source }),
})
export type TokenPosition = Static<typeof TokenPosition>

/** The body of `POST /api/auth/tokens`. */
export const NewToken = Type.Object(
  {
    name: Type.String({
      minLength: 1,
      maxLength: BOUNDS.token_name,
      format: 'text',
      description: 'What the token is for, such as the program that uses it.',
    }),
    expires_in_days: Type.Integer({
      minimum: 1,
      maximum: 3650,
      default: 90,
      description:
        'The lifetime in days. Without `keep`, the token expires no later than the session or token that ' +
        'creates it; see `expires_at`.',
    }),
    role: Type.Optional(Role),
    keep: Type.Boolean({
      default: false,
      description:
        'Whether the token outlives the session that creates it. Otherwise it ends with the session or ' +
        'token that created it: at sign-out, expiry or revocation. Only a session that signed in with a ' +
        'password may set it.',
    }),
  },
  { ...closed, examples: [{ name: 'Bridge to the ERP', expires_in_days: 90, role: 'viewer' }] },
)

/** A new API token, with its secret. */
export const CreatedToken = Type.Object({
  ...Token.properties,
  token: Type.String({ description: 'The secret. It is shown only in this response.' }),
})

/** The path parameters of `DELETE /api/auth/tokens/:id`. */
export const TokenParams = Type.Object({ id: Uuid })
