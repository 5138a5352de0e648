import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'

/** The codings in which a representation is there, the preferred one first. */
export const CODINGS = ['br', 'gzip'] as const
export type Coding = (typeof CODINGS)[number] | 'identity'

/** A tenth of the time of the highest quality, and a tenth more bytes. */
const BROTLI_QUALITY = 6

const ENCODERS = {
  identity: async (content: Buffer) => content,
  gzip: promisify<Buffer, Buffer>(gzip),
  br: async (content: Buffer) =>
    promisify(brotliCompress)(content, { params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY } }),
}

/** A public document or file, the same for every client: made once, and compressed once for each coding that is asked for. */
export class Representation {
  readonly #encoded = new Map<Coding, Promise<Buffer>>()
  readonly #digest: string

  constructor(readonly content: Buffer) {
    this.#digest = createHash('sha256').update(content).digest('base64url').slice(0, 22)
  }

  /** What an entity tag of it holds: each coding is a representation of its own (RFC 9110 section 8.8.3.3). */
  opaqueTag(coding: Coding): string {
    return coding === 'identity' ? this.#digest : `${this.#digest}-${coding}`
  }

  /** Its bytes, the same buffer for each response. */
  async encoded(coding: Coding): Promise<Buffer> {
    const encoded = this.#encoded.get(coding) ?? ENCODERS[coding](this.content)
    this.#encoded.set(coding, encoded)
    return encoded
  }
}

/**
 * Makes a document of what names the service outside, and keeps it for as long as that stays the same.
 * @returns what gives the document for an origin
 */
export function keepsDocument(make: (origin: string) => object): (origin: string) => Representation {
  let kept: { origin: string; document: Representation } | undefined
  return (origin) => {
    if (kept?.origin !== origin) {
      kept = { origin, document: new Representation(Buffer.from(JSON.stringify(make(origin)))) }
    }
    return kept.document
  }
}
