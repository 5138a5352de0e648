/** The methods of the routes, by their patterns, such as `/api/items/:part_number`. */
export class RouteMethods {
  readonly #routes: { methods: readonly string[]; segments: readonly string[] }[] = []

  add(methods: readonly string[], pattern: string): void {
    this.#routes.push({ methods, segments: pattern.split('/') })
  }

  /**
   * Returns the methods of a path as a request sends it, without its query; empty if no route has this path.
   */
  at(path: string): string[] {
    const segments = decode(path).split('/')
    const methods = this.#routes.flatMap((route) => (isMatch(route.segments, segments) ? route.methods : []))
    return [...new Set(methods)].sort()
  }
}

function isMatch(pattern: readonly string[], path: readonly string[]): boolean {
  return (
    pattern.length === path.length &&
    pattern.every((segment, i) => segment.startsWith(':') || segment === path[i])
  )
}

/** Decodes a path. One with invalid escapes matches no route. */
function decode(path: string): string {
  try {
    return decodeURI(path)
  } catch {
    return ''
  }
}
