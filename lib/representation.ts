import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'

/** The content codings of a representation, the preferred one first. */
export const CODINGS = ['br', 'gzip'] as const
export type Coding = (typeof CODINGS)[number] | 'identity'

/** Much faster than the highest quality, for slightly more bytes. */
const BROTLI_QUALITY = 6

const ENCODERS = {
  identity: async (content: Buffer) => content,
  gzip: promisify<Buffer, Buffer>(gzip),
  br: async (content: Buffer) =>
    promisify(brotliCompress)(content, { params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY } }),
}

/**
 * A public document or file that is the same for every client. It is encoded once for each coding, when that
 * is first requested.
 */
export class Representation {
  readonly #encoded = new Map<Coding, Promise<Buffer>>()
  readonly #digest: string

  constructor(readonly content: Buffer) {
    this.#digest = createHash('sha256').update(content).digest('base64url').slice(0, 22)
  }

  /**
   * Returns the opaque tag of the content in a coding: each coding is a representation of its own (RFC 9110
   * section 8.8.3.3).
   */
  opaqueTag(coding: Coding): string {
    return coding === 'identity' ? this.#digest : `${this.#digest}-${coding}`
  }

  /** Returns the encoded content: the same buffer for each response. */
  async encoded(coding: Coding): Promise<Buffer> {
    const encoded = this.#encoded.get(coding) ?? ENCODERS[coding](this.content)
    this.#encoded.set(coding, encoded)
    return encoded
  }
}

/**
 * Wraps `make` so that its last document is cached, and generated again only for another origin.
 * @param make generates the document with the URLs of a public origin
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
