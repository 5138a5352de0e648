/** The methods that an address takes, by the patterns of its routes, such as `/api/items/:part_number`. */
export class RouteMethods {
  readonly #routes: { methods: readonly string[]; segments: readonly string[] }[] = []

  add(methods: readonly string[], pattern: string): void {
    this.#routes.push({ methods, segments: pattern.split('/') })
  }

  /** The methods at a path as a request sends it, without its query; none where no route has this path. */
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

/** A path whose escapes are no characters is none of ours. */
function decode(path: string): string {
  try {
    return decodeURI(path)
  } catch {
    return ''
  }
}
