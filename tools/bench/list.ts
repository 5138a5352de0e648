import { requestsQuestion } from './harness/requests.js'

export default requestsQuestion({
  title: 'A list of 50 items',
  method: 'The first page, by part number.',
  asked: { method: 'GET', path: '/api/items?limit=50' },
  status: 200,
  ratio: 0.85,
})
