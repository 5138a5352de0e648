import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

/** Whether to colour: on a terminal that has colours, unless NO_COLOR asks for none (no-color.org). */
export function hasColours(output: NodeJS.WriteStream, env = process.env): boolean {
  const unwanted = env.NO_COLOR !== undefined && env.NO_COLOR !== ''
  return !unwanted && output.isTTY && output.hasColors()
}

export type Paint = (style: Style, text: string) => string

/** How to write on this output. */
export const painter = (output: NodeJS.WriteStream): Paint =>
  hasColours(output)
    ? // The stream was asked already; Node 20 does not ask it here, and later ones would ask another.
      (style, text) => styleText(style, text, { validateStream: false })
    : (_style, text) => text

/**
 * What a terminal obeys, or does not show: control characters (C0, C1), format characters (they turn the direction of text, or
 * hide it), line and paragraph separators, halves of surrogate pairs. Joiners are left: Persian and Hindi are written with them.
 */
const UNSEEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** The same in a line of JSON, joiners included: an escape there loses nothing. */
const UNSEEN_IN_JSON = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** A text from somewhere else on one line, with nothing in it that a terminal would obey. */
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

/** A line of JSON with nothing in it that a terminal would obey: it says the same. */
export const jsonLine = (json: string): string => json.replace(UNSEEN_IN_JSON, escapeUnits)

/** Says something to the person, beside what the command gives out. */
export const tell = (line: string): void => void process.stderr.write(`${line}\n`)

/** Gives out a line. */
export const print = (line: string): void => void process.stdout.write(`${line}\n`)
