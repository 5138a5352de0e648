import { requestsQuestion } from './harness/requests.js'

export default requestsQuestion({
  title: '`GET /api/items/{part_number}` with `If-None-Match`',
  method: 'Another item with every request. The client has its current revision, so the status is 304.',
  asked: { method: 'GET', path: '/api/items/P-{n}', headers: { 'if-none-match': '"1"' } },
  status: 304,
  ratio: 0.85,
})
