import { extname } from 'node:path'
import ts from 'typescript'

/** A use of a word of the glossary's left column in a comment or a document. */
export interface Finding {
  line: number
  word: string
  /** The text of the line, without surrounding whitespace. */
  text: string
}

/** The glossary of CONTRIBUTING.md: the words to avoid, and their replacements. */
const GLOSSARY: readonly [pattern: string, instead: string][] = [
  ['questions?|asks?|asked|asking', 'query, request, call'],
  ['answers?|answered|answering', 'response, result'],
  ['whoever|somebody|everybody|nobody|anybody', 'the client, the request, the transaction'],
  ['patience|given up|for want of', 'timeout, timed out'],
  ['looks?|looked|looking', 'poll, read'],
  ['tells?|told|hears?|heard', 'notify, receive, send'],
  ['goes on|go on|went on|comes? back|came back', 'resume, reconnect, continue'],
  [
    'amid|anew|mends?|mended|mending|at most so (?:many|much|often|long)',
    'in the middle of, again, fix, max',
  ],
]

const BANNED = new RegExp(`\\b(${GLOSSARY.map(([pattern]) => pattern).join('|')})\\b`, 'gi')

const blank = (text: string) => text.replace(/[^\n]/g, ' ')

/** Returns the comments of a program on their original lines. All other characters are replaced by blanks. */
function commentsOf(source: string): string {
  const file = ts.createSourceFile('a.ts', source, ts.ScriptTarget.Latest, true)
  const ranges = new Map<number, ts.CommentRange>()
  const visit = (node: ts.Node): void => {
    for (const range of ts.getLeadingCommentRanges(source, node.getFullStart()) ?? [])
      ranges.set(range.pos, range)
    for (const range of ts.getTrailingCommentRanges(source, node.getEnd()) ?? []) ranges.set(range.pos, range)
    node.getChildren(file).forEach(visit)
  }
  visit(file)
  let comments = ''
  let end = 0
  for (const range of [...ranges.values()].sort((a, b) => a.pos - b.pos)) {
    comments += blank(source.slice(end, range.pos)) + source.slice(range.pos, range.end)
    end = range.end
  }
  return comments
}

/** Returns the prose of a file: its comments, or a document without its code. Undefined for other files. */
function proseOf(path: string, source: string): string | undefined {
  const withoutCode = (text: string) => text.replace(/```[^]*?```|`[^`\n]*`/g, blank)
  switch (extname(path)) {
    case '.ts':
    case '.js':
      return withoutCode(commentsOf(source))
    case '.sql':
      return withoutCode(
        source.replace(
          /^(.*?)(--.*)?$/gm,
          (_, code: string, comment: string | undefined) => blank(code) + (comment ?? ''),
        ),
      )
    case '.css':
      return withoutCode(
        source.replace(
          /(\/\*[^]*?\*\/)|[^\n]/g,
          (text, comment: string | undefined) => comment ?? blank(text),
        ),
      )
    case '.md':
      return withoutCode(source)
    default:
      return undefined
  }
}

/** The banned words in the comments of a program, or in the text of a document. */
export function findBannedWords(path: string, source: string): Finding[] {
  const prose = proseOf(path, source)
  if (prose === undefined) return []
  const lines = source.split('\n')
  return prose
    .split('\n')
    .flatMap((text, i) =>
      [...text.matchAll(BANNED)].map(([word]) => ({ line: i + 1, word, text: (lines[i] ?? '').trim() })),
    )
}
