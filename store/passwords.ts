import { type ScryptOptions, randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { ApiError } from '../errors.js'
import { RankedQueue } from '../lib/ranked-queue.js'

/** 32 MiB and some 0.1 s a password: what OWASP's password storage cheat sheet asks of scrypt at N = 2^15. */
const COST = { ln: 15, r: 8, p: 3 }
const SALT_BYTES = 16
const KEY_BYTES = 32

/**
 * How many passwords are worked on at once. Each takes a core, 32 MiB, and one of Node's four threads, which files and the
 * names of hosts need too: a rush of sign-ins must not keep the service from finding its database.
 */
const AT_ONCE = 2
/** How many may wait for that: some seconds' work. The one of the highest rank is refused before it costs anything. */
const MOST_WAITING = 40

/** Whose password it is to the queue. */
export interface Turn {
  /** The lower, the sooner. */
  rank: number
  /** Whether the client has disconnected: then nothing is derived. */
  isAbandoned: () => boolean
}

const FIRST: Turn = { rank: 0, isAbandoned: () => false }

const queue = new RankedQueue(AT_ONCE, MOST_WAITING, () => new ApiError('overloaded'))

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

/** @throws {ApiError} `overloaded` while too many others of no higher rank wait */
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
    // Composed and decomposed accents are one password, whatever keyboard they come from (RFC 8265, section 4.2).
    scrypt(password.normalize('NFC'), salt, key.length, options, (err, derived) => {
      if (err) reject(err)
      else resolve(derived)
    })
  })
}

const blank = (): PasswordHash => ({ ...COST, salt: randomBytes(SALT_BYTES), key: Buffer.alloc(KEY_BYTES) })

/** No password has this hash. It is derived against where there is none to compare with. */
const NOBODY = blank()

/** Hashes a password with a fresh salt, as a PHC string: `$scrypt$ln=15,r=8,p=3$salt$hash`. */
export async function hashPassword(password: string): Promise<string> {
  const hash = blank()
  const key = await derive(password, hash, FIRST)
  return `$scrypt$ln=${hash.ln},r=${hash.r},p=${hash.p}$${base64(hash.salt)}$${base64(key)}`
}

/**
 * Whether the password is the one that was hashed, by the parameters stored with the hash. Without a hash the same work
 * is done for nothing, so that the time doesn't tell whether a user exists.
 */
export async function verifyPassword(
  password: string,
  stored: string | undefined,
  turn = FIRST,
): Promise<boolean> {
  const hash = stored === undefined ? undefined : parse(stored)
  const derived = await derive(password, hash ?? NOBODY, turn)
  return hash !== undefined && timingSafeEqual(derived, hash.key)
}
