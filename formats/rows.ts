import type { ErrorDetail } from '../errors.js'

/** A row as it stands in a file: what it says, not yet checked, or why it can't be read. Counted from 1. */
export type Row = { row: number } & ({ value: unknown } | { errors: ErrorDetail[] })
