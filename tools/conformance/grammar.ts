/** An event as a client dispatches it. */
export interface Dispatched {
  /** The `id` field of this event; undefined when it has none of its own. */
  id: string | undefined
  type: string
  data: string
}

/** The fields of the event that is being read. */
interface Fields {
  id?: string
  event?: string
  data?: string
}

const BYTE_ORDER_MARK = '\uFEFF'
const LINE_END = /\r\n|\n|\r/

const quote = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)

/**
 * Parses an event stream by WHATWG HTML, section 9.2.6, and records what a client would have to ignore, since
 * that loses something. The bytes may be split anywhere.
 */
export class StreamReader {
  /** Problems of the bytes of the stream, one sentence each. */
  readonly malformed = new Set<string>()
  /** Problems of the lines and events of the stream, one sentence each. */
  readonly violations = new Set<string>()
  /** The last event id of the client: that of the last complete event with an id. */
  lastId: string | undefined
  /** The last valid `retry`, in ms. */
  retryMs: number | undefined

  #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  #atStart = true
  #rest = ''
  #fields: Fields = {}
  #isEmpty = true

  /** Whether the stream could end here without an incomplete event. */
  get isAtBoundary(): boolean {
    return this.#rest === '' && this.#isEmpty
  }

  /** Parses the next bytes. Returns the events that they complete. */
  feed(bytes: Uint8Array): Dispatched[] {
    let text = this.#rest + this.#decode(bytes)
    if (this.#atStart && text !== '') {
      this.#atStart = false
      if (text.startsWith(BYTE_ORDER_MARK)) text = text.slice(1)
    }
    // A CR at the end of the bytes may be half of a CRLF.
    const held = text.endsWith('\r') ? '\r' : ''
    const lines = text.slice(0, text.length - held.length).split(LINE_END)
    this.#rest = `${lines.pop() ?? ''}${held}`
    return lines.flatMap((line) => this.#readLine(line) ?? [])
  }

  #decode(bytes: Uint8Array): string {
    try {
      return this.#decoder.decode(bytes, { stream: true })
    } catch {
      this.malformed.add('the stream contains bytes that are not UTF-8')
      this.#decoder = new TextDecoder('utf-8', { ignoreBOM: true })
      return this.#decoder.decode(bytes, { stream: true })
    }
  }

  #readLine(line: string): Dispatched | undefined {
    if (line === '') return this.#dispatch()
    if (line.startsWith(BYTE_ORDER_MARK))
      this.malformed.add('the stream contains a byte order mark after its beginning')
    if (!line.startsWith(':')) this.#readField(line)
    return undefined
  }

  #readField(line: string): void {
    const colon = line.indexOf(':')
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    switch (name) {
      case 'data':
        this.#fields.data = this.#fields.data === undefined ? value : `${this.#fields.data}\n${value}`
        break
      case 'event':
      case 'id':
        this.#readOnce(name, value)
        break
      case 'retry':
        if (/^[0-9]+$/.test(value)) this.retryMs = Number(value)
        else this.violations.add(`retry must consist of digits, not ${quote(value)}`)
        return
      default:
        this.violations.add(`no client knows the field ${quote(name)}`)
        return
    }
    this.#isEmpty = false
  }

  #readOnce(name: 'event' | 'id', value: string): void {
    if (this.#fields[name] !== undefined) this.violations.add(`one event has two ${name} fields`)
    if (name === 'id' && value.includes('\0')) this.violations.add('clients ignore an id that contains NUL')
    else this.#fields[name] = value
  }

  #dispatch(): Dispatched | undefined {
    const { id, event, data } = this.#fields
    this.#fields = {}
    this.#isEmpty = true
    if (id !== undefined) this.lastId = id
    if (data !== undefined) return { id, type: event === undefined || event === '' ? 'message' : event, data }
    if (event !== undefined) this.violations.add(`clients ignore the event ${quote(event)}: it has no data`)
    return undefined
  }
}
