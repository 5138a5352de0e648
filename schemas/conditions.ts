import { Type } from '@sinclair/typebox'

/** An opaque-tag of RFC 9110 section 8.8.3, weak or strong. */
const ENTITY_TAG = '(?:W/)?"[\\x21\\x23-\\x7e\\x80-\\xff]*"'
const LIST = `(?:\\*|[ \\t,]*${ENTITY_TAG}(?:[ \\t]*,[ \\t]*(?:${ENTITY_TAG})?)*)`

export const IfMatch = Type.Object({
  'if-match': Type.Optional(
    Type.String({
      pattern: `^${LIST}$`,
      description: 'The `ETag`s that the change may build on; refused with 412 where the item has moved on.',
    }),
  ),
})

export const IfNoneMatch = Type.Object({
  'if-none-match': Type.Optional(
    Type.String({
      description: 'The `ETag`s that the client holds; answered with 304 where one is current.',
    }),
  ),
})

export const etagOf = ({ revision }: { revision: number }): string => `"${revision}"`

const tagsOf = (list: string): string[] => list.match(new RegExp(ENTITY_TAG, 'g')) ?? []

/**
 * The revisions, as text, that `If-Match` allows; nothing when it allows any. Comparison is strong: a weak tag never
 * matches (RFC 9110 section 13.1.1).
 */
export function allowedRevisions(ifMatch: string | undefined): string[] | undefined {
  if (ifMatch === undefined || ifMatch === '*') return undefined
  return tagsOf(ifMatch)
    .filter((tag) => tag.startsWith('"'))
    .map((tag) => tag.slice(1, -1))
}

/** Whether the client holds what `etag` names. Comparison is weak (RFC 9110 section 13.1.2). */
export function isHeld(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  return ifNoneMatch.trim() === '*' || tagsOf(ifNoneMatch).some((tag) => tag.replace(/^W\//, '') === etag)
}
