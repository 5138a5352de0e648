const WIDTH = 30
const ERASE_LINE = '\r\x1b[K'

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

/** A progress bar of an upload. Shows nothing if the output is not a terminal. */
export class Progress {
  #shown = ''

  constructor(
    readonly size: number,
    readonly output: NodeJS.WriteStream = process.stderr,
  ) {
    this.sent(0)
  }

  /** @param bytes number of bytes sent so far */
  sent(bytes: number): void {
    const part = this.size === 0 ? 1 : Math.min(1, bytes / this.size)
    const full = Math.floor(part * WIDTH)
    const bar = '█'.repeat(full) + '░'.repeat(WIDTH - full)
    const sentence =
      part < 1 ? `${megabytes(bytes)} of ${megabytes(this.size)} sent` : 'sent; waiting for the server…'
    this.#show(`${bar} ${String(Math.floor(part * 100)).padStart(3)} %  ${sentence}`)
  }

  /** Removes the bar. */
  end(): void {
    this.#show('')
  }

  #show(line: string): void {
    if (!this.output.isTTY || line === this.#shown) return
    this.output.write(ERASE_LINE + line)
    this.#shown = line
  }
}
