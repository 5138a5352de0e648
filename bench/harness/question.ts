import type { Scope } from './scope.js'

/** What one measurement gives: the value of each metric, by the metric's name. */
export type Figures = Readonly<Record<string, number>>

export interface Metric {
  name: string
  unit: string
  better: 'higher' | 'lower'
}

/**
 * One of those that are compared: the service, a peer, or the limit of what is possible here. Each call measures once,
 * in processes of its own, which it starts in `scope` and which end with it.
 */
export interface Side {
  name: string
  /**
   * Gives the metrics that this side has; they need not be all of the question's.
   * @throws {Missing} when it can't be measured on this machine
   */
  measure(scope: Scope): Promise<Figures>
}

/** Something is not installed here. The report says so, with the reason. */
export class Missing extends Error {
  override readonly name = 'Missing'
}

/**
 * What a side should reach: so much of another figure (another side's of the same metric, another metric of its own, or
 * both), or a value. Where more is better it is the least, else the most.
 */
export interface Target {
  metric: string
  side: string
  goal: { ratio: number; to: { side?: string; metric?: string } } | { value: number }
}

/** One question of the benchmark: default export of its file, or one of several where only a number differs. */
export interface Question {
  title: string
  /** What exactly is measured, and how: what a reader needs to judge whether the comparison is fair. */
  method: string
  metrics: readonly Metric[]
  targets: readonly Target[]
  /** How long one measurement may take before it is ended and counted as failed, in ms; 120,000 unless told. */
  limitMs?: number
  /** How often each side is measured, 3 times unless told: more often where one process differs from the next by a tenth. */
  rounds?: number
  /** The sides. What they share is prepared here and lives, in `scope`, as long as the question. */
  sides(scope: Scope): Promise<readonly Side[]> | readonly Side[]
}
