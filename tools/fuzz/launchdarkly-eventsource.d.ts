declare module 'launchdarkly-eventsource' {
  /** The part of the package that the fuzz run and the tests use. The package has no types. */
  export class EventSource {
    constructor(url: string)
    addEventListener(type: string, listener: (event: { data: string; lastEventId: string }) => void): void
    close(): void
  }
}
