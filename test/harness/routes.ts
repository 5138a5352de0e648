import type { FastifyInstance } from 'fastify'

/**
 * Returns the routes as `GET /items/{part_number}`, parsed from the tree that the router prints, which is
 * indented by four characters a level.
 */
export function readRoutes(app: FastifyInstance): string[] {
  const branch: string[] = []
  return app
    .printRoutes({ commonPrefix: false })
    .split('\n')
    .flatMap((line) => {
      const [, indent = '', part = '', methods = ''] = /^([│ ]*)[├└]── (\S+) \(([A-Z, ]+)\)/.exec(line) ?? []
      branch.splice(indent.length / 4, Infinity, part)
      const path = branch.join('').replaceAll(/:(\w+)/g, '{$1}')
      return methods
        .split(', ')
        .filter((method) => method !== '' && method !== 'HEAD')
        .map((method) => `${method} ${path}`)
    })
}
