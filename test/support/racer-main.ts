import {
  existsSync,
  mkdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'

/*
 * The program of racer.ts: as fast as it can, it puts links and folders of its own in place of the target, of
 * its parent and of the pod's folder, and takes them away again. Arguments: the target, and the folder that the
 * links lead to.
 */
const [, , target = '', decoy = ''] = process.argv
const parent = dirname(target)
const podFolder = dirname(dirname(dirname(parent)))
const racers: readonly (() => void)[] = [
  () => {
    swap(parent)
  },
  () => {
    swap(podFolder)
  },
  () => {
    symlinkSync(decoy, target)
    unlinkSync(target)
  },
  () => {
    mkdirSync(target)
    rmdirSync(target)
  },
  () => {
    writeFileSync(target, 'in the way')
    unlinkSync(target)
  },
  () => {
    mkdirSync(`${target}/full`, { recursive: true })
    rmSync(`${target}/full`, { recursive: true })
    rmdirSync(target)
  },
]

let isOver = false
process.once('disconnect', () => {
  isOver = true
})
process.send?.('ready')
race()

function race(): void {
  for (let round = 0; round < 50; round += 1) {
    for (const racer of racers) attempt(racer)
  }
  if (!isOver) setImmediate(race)
}

/** A folder aside, a link to the decoy in its place, and back. */
function swap(folder: string): void {
  const aside = `${folder}.aside`
  renameSync(folder, aside)
  attempt(() => {
    symlinkSync(decoy, folder)
    unlinkSync(folder)
  })
  // It has to come back, or the race is over.
  if (!existsSync(folder)) renameSync(aside, folder)
}

/** Whoever races loses now and then. */
function attempt(work: () => void): void {
  try {
    work()
  } catch {
    // The other one was faster.
  }
}
