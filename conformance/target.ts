/** A server that is checked, and what has to be known of it. */
export interface Target {
  /** Where the feed is. */
  url: URL
  /** Sent as `Authorization: Bearer …`; undefined where no one has to sign in. */
  token: string | undefined
  /** Makes one event happen, or more, with this text in its data where that can be. */
  trigger: (text: string) => Promise<void>
  /** The types of the events that tell of the stream itself. Every other event is an entry of the log. */
  heartbeat: string
  reset: string
  notices: readonly string[]
  /** How often a heartbeat is promised, in ms; undefined when it isn't. */
  heartbeatMs: number | undefined
  /** The query parameter that stands in for `Last-Event-ID`. */
  cursorParameter: string | undefined
  /** A filter by event type that hides what the trigger makes. */
  filter: { parameter: string; hiding: string } | undefined
  /** An id that was once given out and is not kept any more. */
  expiredId: string | undefined
  /** How many streams are open, as the server tells it. */
  countClients: (() => Promise<number>) | undefined
  /** Shuts the server down; comes last. */
  stop: (() => Promise<void>) | undefined
  /** How many clients "many" are. */
  connections: number
  /** How long to wait for what must come, in ms. */
  patienceMs: number
  /** One trigger may make several events: they have come when nothing more does for this long, in ms. */
  quietMs: number
  /** How many events the slow reader is behind by; of 10 kB each where the trigger carries its text. */
  burst: number
  /** For how long the slow reader does not read, in ms. */
  pauseMs: number
}
