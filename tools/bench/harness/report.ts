import type { Metric, Target } from './question.js'
import type { Answer, Outcome } from './rounds.js'
import { median } from './statistics.js'

/** Formats a figure with three significant digits. */
export function format(value: number): string {
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  return value.toLocaleString('en', { maximumFractionDigits: Math.min(digits, 3) })
}

function valuesOf(outcomes: readonly Outcome[], side: string, metric: string): number[] {
  const outcome = outcomes.find((candidate) => candidate.side === side)
  return (outcome?.rounds ?? []).map((figures) => figures[metric]).filter((value) => value !== undefined)
}

const medianOf = (outcomes: readonly Outcome[], side: string, metric: string): number | undefined => {
  const values = valuesOf(outcomes, side, metric)
  return values.length > 0 ? median(values) : undefined
}

function judge({ question, outcomes }: Answer, { metric, side, goal }: Target): string {
  const better = question.metrics.find(({ name }) => name === metric)?.better
  const own = medianOf(outcomes, side, metric)
  const bound = better === 'higher' ? '≥' : '≤'
  const verdict = (reached: number, wanted: number) =>
    (better === 'higher' ? reached >= wanted : reached <= wanted) ? 'reached' : '**not reached**'
  if ('value' in goal) {
    const found = own === undefined ? 'not measured' : `${format(own)}: ${verdict(own, goal.value)}`
    return `${side}, ${metric}: ${bound} ${format(goal.value)} – ${found}`
  }
  const to = { side, metric, ...goal.to }
  const other = medianOf(outcomes, to.side, to.metric)
  const against = [to.side !== side && to.side, to.metric !== metric && to.metric].filter(Boolean).join(', ')
  const head = `${side}, ${metric}: ${bound} ${format(goal.ratio)} × ${against}`
  if (own === undefined || other === undefined) return `${head} – not measured`
  return `${head} – ${format(own / other)} ×: ${verdict(own / other, goal.ratio)}`
}

function row(answer: Answer, { name, unit }: Metric, side: string, first: string): string | undefined {
  const { outcomes } = answer
  const values = valuesOf(outcomes, side, name)
  if (values.length === 0) return undefined
  const own = median(values)
  const base = medianOf(outcomes, first, name)
  const ratio = base === undefined || base === 0 ? '' : `${format(own / base)} ×`
  return `| ${name} | ${side} | ${format(own)} ${unit} | ${ratio} | ${values.map(format).join(', ')} |`
}

/** Returns the result of one benchmark as Markdown. */
export function report(answer: Answer): string {
  const { question, outcomes, notes } = answer
  const [first] = outcomes
  if (!first) return `## ${question.title}\n\nNot measured: ${answer.missing ?? 'there are no sides'}\n`
  const lines = [
    `## ${question.title}`,
    '',
    question.method,
    '',
    `| metric | side | median | relative to ${first.side} | each round |`,
    '|---|---|---:|---:|---|',
  ]
  for (const metric of question.metrics) {
    for (const { side } of outcomes) {
      const text = row(answer, metric, side, first.side)
      if (text !== undefined) lines.push(text)
    }
  }
  lines.push('')
  for (const target of question.targets) lines.push(`- ${judge(answer, target)}`)
  for (const { side, missing, failures } of outcomes) {
    if (missing !== undefined) lines.push(`- ${side} was not measured: ${missing}`)
    for (const failure of failures) lines.push(`- ${side} **failed**: ${failure}`)
  }
  for (const [title, text] of notes) {
    lines.push('', `<details><summary>${title}</summary>`, '', '```', text.trimEnd(), '```', '', '</details>')
  }
  return `${lines.join('\n').trimEnd()}\n`
}
