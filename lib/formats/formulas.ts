/**
 * A spreadsheet recognises a formula by the first character of a cell, even in full width or another form.
 * Some spreadsheets skip spaces and invisible characters before it. Leading apostrophes are included so that
 * the pattern also matches an escaped text: `unescapeFormula` must recognise the apostrophe that
 * `escapeFormula` has added (docs/decisions/0034).
 */
const FORMULA = /^(?:'*[\t\r\n]|[\s\p{Cc}\p{Cf}']*[=+\-@＝＋－＠﹦﹢﹣﹫−])/u
const PLAIN_NUMBER = /^[+-](?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i

/**
 * Whether a spreadsheet may interpret the text as a formula, or drop its first character. A number like `-5`
 * is safe.
 */
export const looksLikeFormula = (text: string): boolean => FORMULA.test(text) && !PLAIN_NUMBER.test(text)

/** Prefixes a possible formula with an apostrophe: a spreadsheet shows the text and does not evaluate it. */
export const escapeFormula = (text: string): string => (looksLikeFormula(text) ? `'${text}` : text)

/** Returns the text that was given to `escapeFormula`. */
export const unescapeFormula = (cell: string): string =>
  cell.startsWith("'") && looksLikeFormula(cell.slice(1)) ? cell.slice(1) : cell
