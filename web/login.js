import './session.js'
import { refusalOf } from './sign-in.js'

const query = new URLSearchParams(location.search)
const form = document.forms[0]

if (query.has('next')) form.elements.next.value = query.get('next')
if (query.has('error')) document.getElementById('problem').textContent = refusalOf(query.get('error'))
