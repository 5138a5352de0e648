/** How a request can say who sends it: the two security schemes of the API's documents. */
export const SECURITY_SCHEMES = {
  bearer: {
    type: 'http',
    scheme: 'bearer',
    description: 'An API token (`silo_…`) or the token of a session, as `Authorization: Bearer …`',
  },
  cookie: {
    type: 'apiKey',
    in: 'cookie',
    name: 'silo_session',
    description: 'A browser’s session. A write must come from a page of this origin.',
  },
} as const
