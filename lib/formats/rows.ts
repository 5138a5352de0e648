import type { ErrorDetail } from '../../errors.js'

/** A row of a file, numbered from 1: its value, not validated yet, or why it can't be parsed. */
export type Row = { row: number } & ({ value: unknown } | { errors: ErrorDetail[] })
