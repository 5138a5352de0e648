/** Swagger UI, which the page loads before this script. */
declare const SwaggerUIBundle: (options: Record<string, unknown>) => void

SwaggerUIBundle({
  url: '/api/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // The default validator is on another site, which the content security policy forbids.
  validatorUrl: null,
})
