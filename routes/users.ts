import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { ApiError } from '../errors.js'
import { NewUser, User, UserChanges, UserList, UserParams } from '../schemas/users.js'
import { hashPassword } from '../store/passwords.js'
import { createUser, deleteUser, listUsers, updateUser } from '../store/users.js'

/** Estimated size of a list of thousands of users, in bytes. */
const LIST_BYTES = 1024 * 1024

/** Routes by which admins manage users. */
const users: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('onRequest', app.requireRole('admin'))

  app.get(
    '/api/users',
    {
      config: { responseBytes: LIST_BYTES },
      schema: {
        tags: ['users'],
        summary: 'List the users',
        errors: ['forbidden'],
        response: { 200: UserList },
      },
    },
    async () => ({ users: await listUsers(app.db) }),
  )

  app.post(
    '/api/users',
    {
      schema: {
        tags: ['users'],
        summary: 'Create a user',
        errors: ['forbidden', 'username_taken'],
        body: NewUser,
        response: { 201: User },
      },
    },
    async (request, reply) => {
      const { username, password, role, display_name = username } = request.body
      const password_hash = await hashPassword(password)
      const created = await createUser(app.db, request.principal, {
        username,
        display_name,
        role,
        password_hash,
      })
      if (!created) throw new ApiError('username_taken')
      return reply
        .code(201)
        .header('location', `/api/users/${encodeURIComponent(username)}`)
        .send(created)
    },
  )

  app.patch(
    '/api/users/:username',
    {
      schema: {
        tags: ['users'],
        summary: 'Change a user; a new password or deactivation ends all sessions and tokens of the user',
        errors: ['forbidden', 'user_not_found', 'last_admin'],
        params: UserParams,
        body: UserChanges,
        response: { 200: User },
      },
    },
    async (request) => {
      const { password, ...changes } = request.body
      const change = await updateUser(app.db, request.principal, request.params.username, {
        ...changes,
        ...(password !== undefined && { password_hash: await hashPassword(password) }),
      })
      app.forgetPrincipals()
      if ('refused' in change) throw new ApiError(change.refused)
      return change.user
    },
  )

  app.delete(
    '/api/users/:username',
    {
      schema: {
        tags: ['users'],
        summary: 'Delete a user with all sessions and tokens; past changes keep the username',
        errors: ['forbidden', 'user_not_found', 'last_admin'],
        params: UserParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const refused = await deleteUser(app.db, request.principal, request.params.username)
      app.forgetPrincipals()
      if (refused) throw new ApiError(refused)
      return reply.code(204).send(null)
    },
  )
}

export default users
