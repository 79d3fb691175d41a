import { enterOwnNamespace } from '../support/own-namespace.ts'
import { openLane } from './lane.ts'
import { parseOptions, type SoakOptions } from './options.ts'
import { describeTally, isClean, soak, WORLDS } from './soak.ts'

/*
 * `npm run soak -- --cycles N --seed S`: both sides as processes of their own, killed with SIGKILL at
 * random moments and at injected points. The last line is the tally; exit 1 unless it is all zeros, exit 2
 * where it could not be begun.
 */
const EXIT_FOUND = 1
const EXIT_USAGE = 2

process.exitCode = await run(parseOptions(process.argv.slice(2)))

async function run(options: SoakOptions | string): Promise<number> {
  if (typeof options === 'string') return refuse(options)
  if (!enterOwnNamespace()) return refuse('needs root, or `unshare -Urm npm run soak`, to mount')
  const startedMs = performance.now()
  say(`seed ${options.seed}, ${options.cycles} cycles, ${WORLDS} nodes side by side`)
  const lane = await openLane(WORLDS)
  const tally = await soak(lane, options, say).finally(() => lane.close())
  const seconds = (performance.now() - startedMs) / 1000
  say(`${seconds.toFixed(0)} s, ${((1000 * seconds) / options.cycles).toFixed(0)} ms a cycle`)
  if (!isClean(tally))
    say(`again: npm run soak -- --cycles ${options.cycles} --seed ${options.seed}`)
  say(describeTally(tally))
  return isClean(tally) ? 0 : EXIT_FOUND
}

function refuse(why: string): number {
  process.stderr.write(`soak: ${why}\n`)
  return EXIT_USAGE
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
