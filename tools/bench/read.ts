import { requestsQuestion } from './harness/requests.js'

export default requestsQuestion({
  title: '`GET /api/items/{part_number}`',
  method: 'Another item with every request.',
  asked: { method: 'GET', path: '/api/items/P-{n}' },
  status: 200,
  ratio: 0.9,
})
