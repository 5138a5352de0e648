declare module 'launchdarkly-eventsource' {
  /** Of the package, which brings no types: what the tests use. */
  export class EventSource {
    constructor(url: string)
    addEventListener(type: string, listener: (event: { data: string; lastEventId: string }) => void): void
    close(): void
  }
}
