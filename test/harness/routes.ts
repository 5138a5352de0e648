import type { FastifyInstance } from 'fastify'

/** The routes as `GET /items/{part_number}`, read from what the router prints: a tree, its branches indented by four characters. */
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
