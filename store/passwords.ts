import { type ScryptOptions, randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { ApiError } from '../errors.js'
import { RankedQueue } from '../lib/ranked-queue.js'

/** Parameters of scrypt: those of OWASP's password storage cheat sheet for 32 MiB. */
const COST = { ln: 15, r: 8, p: 3 }
const SALT_BYTES = 16
const KEY_BYTES = 32

/**
 * Max passwords that are hashed concurrently. Each occupies a core, 32 MiB, and one of the four threads of
 * Node's pool, which file access and host name lookups need as well: a burst of sign-ins must not keep the
 * service from finding its database.
 */
const MAX_CONCURRENT = 2
/**
 * Max passwords that wait to be hashed, which is some seconds of work. If there are more, the one with the
 * highest rank is refused before it costs anything.
 */
const MAX_WAITING = 40

/** The priority of a password in the queue. */
export interface Turn {
  /** Lower ranks are hashed first. */
  rank: number
  /** Whether the client has disconnected; then the password is not hashed. */
  isAbandoned: () => boolean
}

const FIRST_TURN: Turn = { rank: 0, isAbandoned: () => false }

const queue = new RankedQueue(MAX_CONCURRENT, MAX_WAITING, () => new ApiError('overloaded'))

interface PasswordHash {
  ln: number
  r: number
  p: number
  salt: Buffer
  key: Buffer
}

const PHC = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/

const base64 = (bytes: Buffer): string => bytes.toString('base64').replaceAll('=', '')

function parse(text: string): PasswordHash | undefined {
  const [, ln, r, p, salt, key] = PHC.exec(text) ?? []
  if (salt === undefined || key === undefined) return undefined
  return {
    ln: Number(ln),
    r: Number(r),
    p: Number(p),
    salt: Buffer.from(salt, 'base64'),
    key: Buffer.from(key, 'base64'),
  }
}

/**
 * Derives the key of a password.
 * @throws {ApiError} overloaded if the queue is full of passwords of no higher rank, or the client has
 * disconnected
 */
async function derive(password: string, hash: PasswordHash, turn: Turn): Promise<Buffer> {
  return queue.run(turn.rank, async () => {
    if (turn.isAbandoned()) throw new ApiError('overloaded')
    return runScrypt(password, hash)
  })
}

function runScrypt(password: string, { ln, r, p, salt, key }: PasswordHash): Promise<Buffer> {
  const N = 2 ** ln
  const options: ScryptOptions = { N, r, p, maxmem: 256 * N * r }
  return new Promise((resolve, reject) => {
    // Composed and decomposed accents are the same password, because it depends on the keyboard which of them
    // is sent (RFC 8265, section 4.2).
    scrypt(password.normalize('NFC'), salt, key.length, options, (err, derived) => {
      if (err) reject(err)
      else resolve(derived)
    })
  })
}

const blank = (): PasswordHash => ({ ...COST, salt: randomBytes(SALT_BYTES), key: Buffer.alloc(KEY_BYTES) })

/** A hash that no password has. It replaces the hash of a user that does not exist. */
const DUMMY_HASH = blank()

/**
 * Hashes a password with a fresh salt, as a PHC string: `$scrypt$ln=15,r=8,p=3$salt$hash`.
 * @throws {ApiError} overloaded
 */
export async function hashPassword(password: string): Promise<string> {
  const hash = blank()
  const key = await derive(password, hash, FIRST_TURN)
  return `$scrypt$ln=${hash.ln},r=${hash.r},p=${hash.p}$${base64(hash.salt)}$${base64(key)}`
}

/**
 * Verifies a password against a stored hash, with the parameters of the hash. Without a hash it does the same
 * work, so that the duration does not reveal whether a user exists.
 * @throws {ApiError} overloaded, see `derive`
 */
export async function verifyPassword(
  password: string,
  stored: string | undefined,
  turn = FIRST_TURN,
): Promise<boolean> {
  const hash = stored === undefined ? undefined : parse(stored)
  const derived = await derive(password, hash ?? DUMMY_HASH, turn)
  return hash !== undefined && timingSafeEqual(derived, hash.key)
}
