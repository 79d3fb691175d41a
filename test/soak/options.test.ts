import { spawnSync } from 'node:child_process'
import test from 'ava'
import { Chance } from './chance.ts'
import { describePlan, drawCycle } from './cycle-plan.ts'
import { isClean, KINDS, noneFound } from './findings.ts'
import { parseOptions } from './options.ts'
import { describeTally } from './soak.ts'

const MAIN = new URL('main.ts', import.meta.url).pathname

test('cycles and seed are read, and have defaults', (t) => {
  const given = { isMatrix: false, isLeasing: false, cycles: 1000, seed: 7 }
  t.deepEqual(parseOptions(['--cycles', '1000', '--seed', '7']), given)
  t.like(parseOptions([]), { isMatrix: false, isLeasing: false, cycles: 100, seed: 1 })
  t.like(parseOptions(['--matrix']), { isMatrix: true })
  t.like(parseOptions(['--vault']), { isLeasing: true })
})

for (const [argv, expected] of [
  [['--cycles', '0'], /^--cycles must be a whole number from 1 to 1000000; /],
  [['--cycles', '1e3'], /^--cycles must be a whole number/],
  [['--cycles', ''], /^--cycles must be a whole number/],
  [['--seed', '-1'], /--seed/],
  [['--seed', '4294967296'], /^--seed must be a whole number from 0 to 4294967295; /],
  [['--matrix', '--vault'], /^--matrix and --vault do not go together; /],
  [['--cycle', '5'], /^Unknown option '--cycle'; /],
  [['5'], /^Unexpected argument '5'/],
  [['--seed', '1', '--cycles'], /--cycles/],
] as const) {
  test(`${argv.join(' ')} is refused in one line that names it and shows how`, (t) => {
    const refusal = parseOptions(argv)
    if (typeof refusal !== 'string') return t.fail('it was taken')
    t.regex(refusal, expected)
    t.regex(refusal, /; try npm run soak -- --cycles 1000 --seed 1$/)
    t.notRegex(refusal, /\n/)
  })
}

test('wrong arguments exit with 2, a message on stderr and nothing on stdout', (t) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, '--cycles', 'many'], {
    encoding: 'utf8',
  })
  t.is(status, 2)
  t.is(stdout, '')
  t.regex(stderr, /^soak: --cycles must be a whole number from 1 to 1000000; try .*\n$/)
})

test('the last line has every number in its place', (t) => {
  const found = { orphans: 1, leftovers: 2, empty: 3, torn: 4, lost: 5, strays: 6 }
  t.is(
    describeTally({ cycles: 10, killed: 12, found }),
    'cycles=10 killed=12 orphans=1 leftovers=2 empty=3 torn=4 lost=5',
  )
  t.is(
    describeTally({ cycles: 10, killed: 12, found }, true),
    'cycles=10 killed=12 orphans=1 leftovers=2 empty=3 torn=4 lost=5 strays=6',
  )
})

test('one of the numbers is enough to fail', (t) => {
  t.true(isClean(noneFound()))
  for (const kind of KINDS) t.false(isClean({ ...noneFound(), [kind]: 1 }), kind)
})

test('a seed draws the same cycles every time, and another seed others', (t) => {
  const draw = (seed: number): readonly string[] => {
    const chance = new Chance(seed)
    return Array.from({ length: 50 }, () => describePlan(drawCycle(chance)))
  }
  t.deepEqual(draw(1), draw(1))
  t.notDeepEqual(draw(1), draw(2))
})

test('every operation, victim and moment is drawn, and every cycle kills somebody', (t) => {
  const chance = new Chance(1)
  const plans = Array.from({ length: 500 }, () => drawCycle(chance))
  t.is(new Set(plans.map(({ operation }) => operation)).size, 6)
  t.is(new Set(plans.map(({ victims }) => victims.join())).size, 3)
  t.is(new Set(plans.map(({ moment }) => moment.kind)).size, 3)
  t.true(plans.every(({ victims }) => victims.length > 0))
})
