import { readFileSync, readdirSync } from 'node:fs'
import { check } from 'recheck'
import ts from 'typescript'

/** A regular expression and where it is written. */
export interface Pattern {
  source: string
  flags: string
  where: string
}

/** The text of a file, and its path from the root. */
export interface Source {
  path: string
  text: string
}

const ROOT = new URL('.', import.meta.resolve('#root'))

/**
 * Reads the files of a folder of the project that have one of these endings, with its subfolders if `isDeep`.
 */
export function readSources(folder: string, endings: readonly string[], isDeep = true): Source[] {
  const names = readdirSync(new URL(`${folder}/`, ROOT), { recursive: isDeep, encoding: 'utf8' })
  return names
    .filter((name) => endings.some((ending) => name.endsWith(ending)))
    .map((name) => ({
      path: `${folder}/${name}`,
      text: readFileSync(new URL(`${folder}/${name}`, ROOT), 'utf8'),
    }))
}

/**
 * Returns the regular expressions of a program: its literals, the arguments of `RegExp`, and strings that are
 * the `pattern` of a schema.
 * @throws {Error} for one that is built at run time, which cannot be checked
 */
export function patternsOfProgram({ path, text }: Source): Pattern[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const found: Pattern[] = []
  const whereIs = (node: ts.Node) => `${path}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`
  function visit(node: ts.Node): void {
    if (ts.isRegularExpressionLiteral(node)) {
      const end = node.text.lastIndexOf('/')
      found.push({ source: node.text.slice(1, end), flags: node.text.slice(end + 1), where: whereIs(node) })
    } else if (
      (ts.isNewExpression(node) || ts.isCallExpression(node)) &&
      node.expression.getText() === 'RegExp'
    ) {
      const [source, flags] = node.arguments ?? []
      if (!source || !ts.isStringLiteralLike(source) || (flags && !ts.isStringLiteralLike(flags)))
        throw new Error(`${whereIs(node)} makes a regular expression at run time: write it as a literal`)
      found.push({ source: source.text, flags: flags?.text ?? '', where: whereIs(node) })
    } else if (
      ts.isPropertyAssignment(node) &&
      node.name.getText() === 'pattern' &&
      ts.isStringLiteralLike(node.initializer)
    ) {
      found.push({ source: node.initializer.text, flags: 'u', where: whereIs(node) })
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  return found
}

/** Returns the `pattern` attributes of a page, which a browser runs anchored and with the flag "v". */
export function patternsOfPage({ path, text }: Source): Pattern[] {
  return [...text.matchAll(/\spattern="([^"]*)"/g)].map(([, source = '']) => ({
    source: `^(?:${source})$`,
    flags: 'u',
    where: path,
  }))
}

/** Returns the patterns of the JSON schemas anywhere in `value`, `patternProperties` included. */
export function patternsOfSchema(value: unknown, where: string, seen = new Set<unknown>()): Pattern[] {
  if (typeof value !== 'object' || value === null || seen.has(value)) return []
  seen.add(value)
  return Object.entries(value).flatMap(([name, child]: [string, unknown]) => {
    const at = `${where}.${name}`
    if (name === 'pattern' && typeof child === 'string') return [{ source: child, flags: 'u', where: at }]
    const own =
      name === 'patternProperties' && typeof child === 'object' && child !== null
        ? Object.keys(child).map((source) => ({ source, flags: 'u', where: at }))
        : []
    return [...own, ...patternsOfSchema(child, at, seen)]
  })
}

const CHECK_TIMEOUT_MS = 20_000

/**
 * Describes each pattern whose run time grows faster than its input, or that cannot be checked. Each distinct
 * pattern is checked once.
 */
export async function findBacktracking(patterns: readonly Pattern[]): Promise<string[]> {
  const distinct = new Map(patterns.map((pattern) => [`/${pattern.source}/${pattern.flags}`, pattern]))
  const faults: string[] = []
  for (const [literal, { source, flags, where }] of distinct) {
    const result = await check(source, flags, { timeout: CHECK_TIMEOUT_MS })
    if (result.status === 'vulnerable') faults.push(`${where}: ${literal} is ${result.complexity.summary}`)
    else if (result.status === 'unknown') faults.push(`${where}: ${literal} can't be judged`)
  }
  return faults
}
