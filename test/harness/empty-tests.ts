/** The titles of the tests in the TAP that a test file printed that ended without a single assertion, and without being skipped. */
export function findEmptyTests(tap: string): string[] {
  const lines = tap.split('\n')
  return lines.flatMap((line, i) => {
    const [, indent = ''] = /^( +)1\.\.0$/.exec(line) ?? []
    if (indent === '') return []
    const end = lines
      .slice(i + 1)
      .find((later) => /^ *ok \d+ - /.test(later) && later.search(/\S/) < indent.length)
    const [, title] = /^ *ok \d+ - (.*?)(?: # time=\S+)?$/.exec(end ?? '') ?? []
    return title === undefined ? [] : [title]
  })
}
