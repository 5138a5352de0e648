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

/** Control characters, and those that turn the direction of text: in a terminal both can make a text look like another. */
// eslint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** A text from the database on one line, with nothing in it that a terminal would obey. */
export const plain = (text: string): string => text.replace(/\s*\n\s*/g, ' ').replace(UNSEEN, '\ufffd')

/** Says something to the person, beside what the command gives out. */
export const tell = (line: string): void => void process.stderr.write(`${line}\n`)

/** Gives out a line. */
export const print = (line: string): void => void process.stdout.write(`${line}\n`)
