/**
 * A spreadsheet takes a cell for a formula by its first character, also one in full width or another form, and some pass over
 * spaces and characters that are not seen before it. Apostrophes belong to the beginning, so that the rule holds for an escaped
 * text as well: only then can `unescapeFormula` tell which apostrophe `escapeFormula` has added.
 */
const FORMULA = /^(?:'*[\t\r\n]|[\s\p{Cc}\p{Cf}']*[=+\-@＝＋－＠﹦﹢﹣﹫−])/u
const PLAIN_NUMBER = /^[+-](?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i

/** Whether a spreadsheet may take the text for a formula, or drop its first character. A number like `-5` is none. */
export const looksLikeFormula = (text: string): boolean => FORMULA.test(text) && !PLAIN_NUMBER.test(text)

/** Puts an apostrophe before what looks like a formula: a spreadsheet shows it, and computes nothing. */
export const escapeFormula = (text: string): string => (looksLikeFormula(text) ? `'${text}` : text)

/** The text that `escapeFormula` was given. */
export const unescapeFormula = (cell: string): string =>
  cell.startsWith("'") && looksLikeFormula(cell.slice(1)) ? cell.slice(1) : cell
