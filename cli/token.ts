import { CreatedToken } from './answers.js'
import { plain, print, tell } from './screen.js'
import { type Where, openSession } from './session.js'

export interface TokenOptions extends Where {
  role?: string
  days: number
}

/** Makes an API token. Its secret alone is given out, so that it can be piped to where it belongs. */
export async function createToken(name: string, { role, days, ...where }: TokenOptions): Promise<void> {
  const client = await openSession(where)
  const created = await client.ask(CreatedToken, 'POST', '/api/auth/tokens', {
    body: { name, expires_in_days: days, role },
  })
  tell(
    plain(`A token for ${created.role}s, until ${created.expires_at.slice(0, 10)}. It is shown this once:`),
  )
  print(plain(created.token))
}
