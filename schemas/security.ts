/**
 * Returns the security schemes of the OpenAPI and AsyncAPI documents: the ways to authenticate a request.
 * @param cookie the name of the session cookie at the address that the documents name
 */
export const securitySchemes = (cookie: string) =>
  ({
    bearer: {
      type: 'http',
      scheme: 'bearer',
      description: 'An API token (`silo_…`) or the token of a session, as `Authorization: Bearer …`',
    },
    cookie: {
      type: 'apiKey',
      in: 'cookie',
      name: cookie,
      description:
        'The session of a browser. A write must come from a page of this origin. The name ends with the ' +
        'port that the browser uses, and begins with `__Host-` over TLS.',
    },
  }) as const
