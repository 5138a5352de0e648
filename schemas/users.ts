import { type Static, Type } from '@sinclair/typebox'
import { Role } from './auth.js'
import { BOUNDS } from './bounds.js'
import { Timestamp } from './timestamp.js'

const closed = { additionalProperties: false }

/** The pattern of a username. The table `users` has the same one, for writes in SQL. */
export const USERNAME = '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'

/** The bounds of a password's length, in characters. */
export const PASSWORD_LENGTH = { minLength: 8, maxLength: 1024 } as const

const Username = Type.String({
  pattern: USERNAME,
  description:
    'The name to sign in with: 1 to 64 letters, digits, ".", "_", "@" or "-". Case is preserved, but not ' +
    'distinguished.',
})
const Password = Type.String({ ...PASSWORD_LENGTH, format: 'text', description: 'The password.' })
const DisplayName = Type.String({
  minLength: 1,
  maxLength: BOUNDS.display_name,
  format: 'text',
  description: 'The name that pages show. Defaults to the username.',
})

/** A user, without the password. */
export const User = Type.Object({
  id: Type.String({ format: 'uuid', description: 'The id of the user. It never changes.' }),
  username: Username,
  display_name: Type.String({ description: 'The name that pages show.' }),
  role: Role,
  active: Type.Boolean({ description: 'Whether the user may sign in.' }),
  created_at: Timestamp,
})
export type User = Static<typeof User>

/** The response of `GET /api/users`. */
export const UserList = Type.Object({ users: Type.Array(User, { description: 'All users, by username.' }) })

/** The body of `POST /api/users`. */
export const NewUser = Type.Object(
  {
    username: Username,
    password: Password,
    role: Role,
    display_name: Type.Optional(DisplayName),
  },
  {
    ...closed,
    examples: [
      { username: 'ines', password: 'correct horse battery', role: 'editor', display_name: 'Inês Duarte' },
    ],
  },
)

/** The body of `PATCH /api/users/:username`: the fields to change. */
export const UserChanges = Type.Object(
  {
    role: Type.Optional(Role),
    password: Type.Optional(Password),
    display_name: Type.Optional(DisplayName),
    active: Type.Optional(
      Type.Boolean({ description: 'Whether the user may sign in. False ends all sessions and tokens.' }),
    ),
    keep_tokens: Type.Optional(
      Type.Boolean({
        description:
          'With a new password: whether the API tokens that were created with `keep` remain valid. ' +
          'Otherwise they end like the sessions.',
      }),
    ),
  },
  { ...closed, examples: [{ display_name: 'Inês Duarte-Keller' }] },
)

/**
 * The path parameters of the routes of a user. The name may be longer than a valid one: any unknown name gets
 * 404, not a validation error.
 */
export const UserParams = Type.Object({
  username: Type.String({
    maxLength: 256,
    format: 'text',
    description: 'The username.',
    examples: ['ines'],
  }),
})
