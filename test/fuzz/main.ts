import { CORPUS_FOLDER, keep } from './corpus.ts'
import { fuzz, type Tally } from './fuzz.ts'
import { openLanes } from './lanes.ts'
import { parseOptions, type FuzzWords } from './options.ts'

/*
 * `npm run fuzz -- --inputs N --seed S`: malformed inputs on every way in. What finds something is kept in the
 * corpus, to be committed with its mend. The last line is the tally; exit 1 unless nothing crashed, nothing
 * was handed out and memory stayed as it was, exit 2 where it could not be begun.
 */
const EXIT_FOUND = 1
const EXIT_USAGE = 2
const MAX_RSS_GROWTH_MIB = 20

// Half of all inputs end in an error, and where it was thrown is of interest in few.
Error.stackTraceLimit = 6
process.exitCode = await run(parseOptions(process.argv.slice(2)))

async function run(words: FuzzWords | string): Promise<number> {
  if (typeof words === 'string') {
    process.stderr.write(`fuzz: ${words}\n`)
    return EXIT_USAGE
  }
  const lanes = await openLanes(words.lane)
  if (lanes.length === 0) {
    process.stderr.write(`fuzz: no lane is named ${words.lane ?? ''}\n`)
    return EXIT_USAGE
  }
  const startedMs = performance.now()
  say(`seed ${words.seed}, lanes: ${lanes.map(({ name }) => name).join(', ')}`)
  const tally = await fuzz(lanes, {
    ...words,
    corpusFolder: CORPUS_FOLDER,
    onFinding: ({ kind, lane, why, input }) => {
      say(`${kind} in ${lane}: ${keep(CORPUS_FOLDER, lane, input)}: ${why}`)
    },
    onProgress: (done) => {
      const seconds = ((performance.now() - startedMs) / 1000).toFixed(0)
      const mib = (process.memoryUsage.rss() / 2 ** 20).toFixed(0)
      say(`${done} after ${seconds} s, rss ${mib} MiB`)
    },
  })
  for (const lane of lanes) await lane.close?.()
  for (const [name, { accepted, refused, ms }] of tally.byLane) {
    const perInput = (ms / Math.max(1, accepted + refused)).toFixed(2)
    say(`${name}: ${accepted} accepted, ${refused} refused, ${perInput} ms each`)
  }
  say(describe(tally))
  return isClean(tally) ? 0 : EXIT_FOUND
}

function isClean({ crashes, grants, rssGrowthMib }: Tally): boolean {
  return crashes === 0 && grants === 0 && rssGrowthMib < MAX_RSS_GROWTH_MIB
}

function describe({ inputs, crashes, grants, rssGrowthMib }: Tally): string {
  return `inputs=${inputs} crashes=${crashes} grants=${grants} rss_growth_mib=${rssGrowthMib}`
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
