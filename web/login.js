const ERRORS = {
  invalid_credentials: 'The username or the password is wrong.',
  invalid_request: 'Please give both a username and a password.',
  rate_limited: 'Too many attempts. Wait a minute, then try again.',
}

const query = new URLSearchParams(location.search)
const form = document.forms[0]
const problem = document.getElementById('problem')

if (query.has('next')) form.elements.next.value = query.get('next')
if (query.has('error')) {
  problem.textContent = ERRORS[query.get('error')] ?? 'The sign-in did not work. Please try again.'
}
