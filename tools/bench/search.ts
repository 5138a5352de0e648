import { RARE } from './harness/catalogue.js'
import { requestsQuestion } from './harness/requests.js'

export default requestsQuestion({
  title: 'Search for a word',
  method: `The word \`${RARE}\`, which one item in a thousand has in its description.`,
  asked: { method: 'GET', path: `/api/items?limit=50&search=${RARE}` },
  status: 200,
  ratio: 0.85,
})
