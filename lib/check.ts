import { crc32 } from 'node:zlib'

/** The check of a position that no event stands at: before the first event of a log. */
export const NO_CHECK = '00000000'

/**
 * Tells an event from one with the same id in another history of the log: eight hexadecimal digits.
 * @param content of the event, as the log holds it
 */
export function checkOf(id: number, content: Uint8Array | string): string {
  return crc32(content, crc32(`${id} `))
    .toString(16)
    .padStart(8, '0')
}
