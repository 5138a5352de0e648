/** A server to check, and the properties of it that the checks need. */
export interface Target {
  /** The address of the feed. */
  url: URL
  /** Sent as `Authorization: Bearer …`; undefined if clients don't have to sign in. */
  token: string | undefined
  /** Triggers one event or more, with this text in the data if possible. */
  trigger: (text: string) => Promise<void>
  /** The type of heartbeats. */
  heartbeat: string
  /** The type of the event that says that a cursor can't be resumed. */
  reset: string
  /** Other types of events about the stream itself. An event of any other type is an entry of the log. */
  notices: readonly string[]
  /** The promised interval of heartbeats, in ms; undefined if none is promised. */
  heartbeatMs: number | undefined
  /** The query parameter that replaces `Last-Event-ID`; undefined if there is none. */
  cursorParameter: string | undefined
  /** A filter by event type, with a type that hides the triggered events. */
  filter: { parameter: string; hiding: string } | undefined
  /** The id of an event that the server no longer retains. */
  expiredId: string | undefined
  /** Returns the number of open streams that the server reports. */
  countClients: (() => Promise<number>) | undefined
  /** Shuts the server down. Called by the last check. */
  stop: (() => Promise<void>) | undefined
  /** Number of clients for the check with many clients. */
  connections: number
  /** Timeout for everything that must arrive, in ms. */
  patienceMs: number
  /** A trigger may make several events. They are complete when nothing arrives for this long, in ms. */
  quietMs: number
  /** How many events a slow reader is behind by, of 10 kB each if the trigger puts its text into the data. */
  burst: number
  /** How long a slow reader does not read, in ms. */
  pauseMs: number
}
