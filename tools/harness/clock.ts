/**
 * Preloaded into an instance: each SIGWINCH makes its clock jump by up to an hour in either direction, as the
 * clock of a machine does when it is set or the machine wakes up. Monotonic time (`performance.now`, timers)
 * is not changed, as on a real machine.
 */
const read = Date.now
let offset = 0

process.on('SIGWINCH', () => {
  offset = Math.round((Math.random() * 2 - 1) * 3_600_000)
})

globalThis.Date = class extends Date {
  constructor(
    ...args: [] | [number | string | Date] | [number, number, number?, number?, number?, number?, number?]
  ) {
    if (args.length === 0) super(read() + offset)
    else if (args.length === 1) super(args[0])
    else super(...args)
  }

  static override now(): number {
    return read() + offset
  }
} as DateConstructor
