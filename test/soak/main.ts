import { enterOwnNamespace, hasManyIds } from '../support/own-namespace.ts'
import { isClean, type Counts } from './findings.ts'
import { describeMatrix, runMatrix } from './full-matrix.ts'
import { openLane, type Lane } from './lane.ts'
import { parseOptions, type SoakOptions } from './options.ts'
import { describeTally, soak, WORLDS } from './soak.ts'

/*
 * `npm run soak -- --cycles N --seed S`: both sides as processes of their own, killed with SIGKILL at
 * random moments and at injected points; with --matrix at every injected point, one after the other; with --vault pods have users of a Vault. The last line is the tally; exit 1 unless it is all zeros, exit 2
 * where it could not be begun.
 */
const EXIT_FOUND = 1
const EXIT_USAGE = 2

process.exitCode = await run(parseOptions(process.argv.slice(2)))

async function run(options: SoakOptions | string): Promise<number> {
  if (typeof options === 'string') return refuse(options)
  if (!enterOwnNamespace() || !hasManyIds()) {
    return refuse('needs root outside of a user namespace, to mount and to give files to groups')
  }
  const startedMs = performance.now()
  const lane = await openLane(WORLDS)
  const { found, lastLine } = await work(lane, options).finally(() => lane.close())
  say(`${((performance.now() - startedMs) / 1000).toFixed(0)} s`)
  say(lastLine)
  return isClean(found) ? 0 : EXIT_FOUND
}

async function work(
  lane: Lane,
  options: SoakOptions,
): Promise<{ readonly found: Readonly<Counts>; readonly lastLine: string }> {
  if (options.isMatrix) {
    say(`every injected point with every kind of victims, ${WORLDS} nodes side by side`)
    const tally = await runMatrix(lane, say)
    return { found: tally.found, lastLine: describeMatrix(tally) }
  }
  const { cycles, seed, isLeasing } = options
  say(`seed ${seed}, ${cycles} cycles, ${WORLDS} nodes side by side`)
  const tally = await soak(lane, options, say)
  if (!isClean(tally.found))
    say(`again: npm run soak --${isLeasing ? ' --vault' : ''} --cycles ${cycles} --seed ${seed}`)
  return { found: tally.found, lastLine: describeTally(tally, isLeasing) }
}

function refuse(why: string): number {
  process.stderr.write(`soak: ${why}\n`)
  return EXIT_USAGE
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
