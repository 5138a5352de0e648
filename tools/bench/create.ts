import { requestsQuestion } from './harness/requests.js'

export default requestsQuestion({
  title: '`POST /api/items`',
  method:
    'The service writes the item, its revision and its event, and reads the log. The peer inserts one row ' +
    'into a table with the same columns, checks and indexes.',
  asked: {
    method: 'POST',
    path: '/api/items',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      part_number: 'B-{n}',
      description: 'Hexagon socket head cap screw, M6 x 20, steel 8.8, zinc plated',
      properties: { standard: 'ISO 4762', mass_g: 7 },
    }),
  },
  status: 201,
  ratio: 0.75,
})
