import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

/**
 * Whether to use colours: if the output is a terminal that has them, and NO_COLOR is not set (no-color.org).
 */
function hasColours(output: NodeJS.WriteStream, env = process.env): boolean {
  const unwanted = env.NO_COLOR !== undefined && env.NO_COLOR !== ''
  return !unwanted && output.isTTY && output.hasColors()
}

/** Applies a style to a text. */
export type Paint = (style: Style, text: string) => string

/** Returns a function that styles text for this output. Without colours it returns the text unchanged. */
export const painter = (output: NodeJS.WriteStream): Paint =>
  hasColours(output)
    ? // `hasColours` has checked this output. Node versions above 20 would check the standard output instead.
      (style, text) => styleText(style, text, { validateStream: false })
    : (_style, text) => text

/**
 * Characters that a terminal interprets or does not show: control characters (C0, C1), format characters
 * (which change the direction of text, or hide it), line and paragraph separators, unpaired surrogates.
 * Joiners are excepted, because Persian and Hindi need them.
 */
const UNSEEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** The same characters and the joiners, for JSON: there they are escaped, which loses nothing. */
const UNSEEN_IN_JSON = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/**
 * Makes text from a server or a file safe to print: on one line, with each unsafe character replaced by
 * U+FFFD.
 */
export const plain = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.trim())
    .join(' ')
    .replace(UNSEEN, '\ufffd')

const escapeUnits = (character: string): string =>
  Array.from(
    { length: character.length },
    (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`,
  ).join('')

/** Escapes the characters of a JSON text that a terminal would interpret. It parses to the same value. */
export const jsonLine = (json: string): string => json.replace(UNSEEN_IN_JSON, escapeUnits)

/** Prints a message for the user, to the standard error. */
export const printToStderr = (line: string): void => void process.stderr.write(`${line}\n`)

/** Prints a line of the command's output, to the standard output. */
export const print = (line: string): void => void process.stdout.write(`${line}\n`)
