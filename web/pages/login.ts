import '../parts/session.js'
import { find, findIn, setTextIn } from '../parts/dom.js'
import { refusalOf } from '../parts/sign-in.js'

const query = new URLSearchParams(location.search)
const [next, error] = [query.get('next'), query.get('error')]

if (next !== null) setTextIn(findIn(document, 'form', HTMLFormElement), 'next', next)
if (error !== null) find('problem').textContent = refusalOf(error)
