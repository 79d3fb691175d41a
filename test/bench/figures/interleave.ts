/** One measurement of round `round`, counted from 0; its answer is what it took, in whatever unit. */
export type Measurement = (round: number) => Promise<number>

/**
 * Takes turns: each contender once a round, always in the same order. So a machine that grows slower or faster
 * while the bench runs does so for all of them. Answers each one's numbers, in order of rounds.
 */
export async function interleave<Name extends string>(
  rounds: number,
  contenders: Readonly<Record<Name, Measurement>>,
): Promise<Record<Name, readonly number[]>> {
  const names = Object.keys(contenders) as Name[]
  const seen = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<
    Name,
    number[]
  >
  for (let round = 0; round < rounds; round += 1) {
    for (const name of names) seen[name].push(await contenders[name](round))
  }
  return seen
}

/** Milliseconds that the work took. */
export async function timedMs(work: () => Promise<unknown>): Promise<number> {
  const begunMs = performance.now()
  await work()
  return performance.now() - begunMs
}
