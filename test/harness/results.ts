/** Returns the titles of the tests in a TAP output that ended without an assertion and were not skipped. */
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

/**
 * Returns the titles of the tests that failed in a TAP output, each with the titles of the groups around it.
 */
export function findFailedTests(tap: string): string[] {
  const groups: string[] = []
  return tap.split('\n').flatMap((line) => {
    const [, indent = '', group] = /^( *)# Subtest: (.*)$/.exec(line) ?? []
    if (group !== undefined) groups.splice(indent.length / 4, Infinity, group)
    const [, depth = '', title] = /^( +)not ok \d+ - (.*?)(?: # time=\S+)?( \{)?$/.exec(line) ?? []
    // A group fails when a test in it fails, which has been listed by then.
    if (title === undefined || groups[depth.length / 4] === title) return []
    return [[...groups.slice(0, depth.length / 4), title].join(' > ')]
  })
}

/** Returns the titles of the tests in a TAP output that were skipped, each with its reason. */
export const findSkippedTests = (tap: string): string[] =>
  tap.split('\n').flatMap((line) => {
    const [, title, reason] = /^ *ok \d+ - (.*?) # SKIP (.*)$/.exec(line) ?? []
    return title === undefined || reason?.startsWith('filter: ') ? [] : [`${title} (${reason})`]
  })

/** Whether a TAP output ends with its plan, of at least one test. */
export const isComplete = (tap: string): boolean => /^1\.\.[1-9]/m.test(tap)
