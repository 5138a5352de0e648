import { crc32 } from 'node:zlib'

/** The check of the position before the first event of a log. */
export const NO_CHECK = '00000000'

/**
 * Returns the check of an event: a CRC-32 of the id and the content, as eight hexadecimal digits. It
 * distinguishes the event from one that got the same id after the log was restored (docs/decisions/0019).
 * @param content of the event, as the log holds it
 */
export function checkOf(id: number, content: Uint8Array | string): string {
  return crc32(content, crc32(`${id} `))
    .toString(16)
    .padStart(8, '0')
}
