/**
 * The script of a page of another origin: what it tries against a service to which its visitor is signed in.
 */

async function outcomeOf(url, options) {
  try {
    const answer = await fetch(url, { credentials: 'include', ...options })
    return `${answer.status} ${await answer.text()}`
  } catch (error) {
    return error.name
  }
}

function embed(tag, attributes, parent = document.head) {
  const element = Object.assign(document.createElement(tag), attributes)
  parent.append(element)
  return new Promise((resolve) => {
    element.onload = () => resolve('loaded')
    element.onerror = () => resolve('refused')
  })
}

async function follow(url) {
  const stream = new EventSource(url, { withCredentials: true })
  const seen = []
  for (const type of ['open', 'message', 'server.state', 'item.created', 'heartbeat']) {
    stream.addEventListener(type, () => seen.push(type))
  }
  await new Promise((resolve) => stream.addEventListener('error', resolve))
  return { seen, closed: stream.readyState === EventSource.CLOSED }
}

/** Collects what the page can read with each kind of request that a browser offers. */
globalThis.spy = async (service) => ({
  stream: await follow(`${service}/api/events?since=earliest`),
  page: await outcomeOf(`${service}/api/events`, { headers: { accept: 'application/json' } }),
  opaque: await outcomeOf(`${service}/api/items`, { mode: 'no-cors' }),
  preflighted: await outcomeOf(`${service}/api/items`, { headers: { 'x-wanted': '1' } }),
  answerAsScript: await embed('script', { src: `${service}/api/items` }),
  script: await embed('script', { src: `${service}/web/parts/dom.js` }),
  image: await embed('img', { src: `${service}/web/parts/icon.svg` }),
})

/** Sends the writes that need no preflight. The page cannot read their responses. */
globalThis.write = async (service) => {
  const body = JSON.stringify({ part_number: 'FORGED', name: 'forged' })
  for (const path of ['/api/items', '/api/items/import', '/api/auth/tokens', '/logout']) {
    for (const type of ['text/plain', 'application/json', 'application/x-www-form-urlencoded']) {
      await outcomeOf(service + path, {
        method: 'POST',
        mode: 'no-cors',
        headers: { 'content-type': type },
        body,
      })
    }
  }
}

globalThis.submit = (action, fields) => {
  const form = Object.assign(document.createElement('form'), { action, method: 'post' })
  for (const [name, value] of Object.entries(fields)) embed('input', { name, value }, form)
  document.body.append(form)
  form.submit()
}

globalThis.frame = (src) => void embed('iframe', { src }, document.body)
