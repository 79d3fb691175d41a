import { readFileSync, readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { workerData } from 'node:worker_threads'
import { COUNTERS, type Counter, type ReaderData } from './readers.ts'

/** The program of readers.ts: reads a volume's two files over and over, in both ways, and counts what it saw. */
const { folder, counters, fileBytes, wordBytes } = workerData as ReaderData
const counts = new Int32Array(counters)

// Of this thread alone: eight that spin would leave the writer a tenth of a small machine.
setPriority(5)

while (!isTold('stop')) {
  const plain = ['first', 'second'].map((name) => readGeneration(`${folder}/${name}`))
  if (isMixed(plain)) count('mixedByPath')
  const data = resolveData()
  const resolved = ['first', 'second'].map((name) => readGeneration(`${data}/${name}`))
  if (isMixed(resolved)) count('mixedByData')
  count('rounds')
}

/** undefined: not there, or not whole. */
function readGeneration(path: string): string | undefined {
  let text: string
  try {
    text = readFileSync(path, 'latin1')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown
    count('missed')
    return undefined
  }
  const word = text.slice(0, wordBytes)
  count('reads')
  if (text.length === fileBytes && text === word.repeat(fileBytes / wordBytes)) return word
  count('torn')
  return undefined
}

function resolveData(): string {
  try {
    return `${folder}/${readlinkSync(`${folder}/..data`)}`
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EINVAL') throw thrown
    // A writer that knows no generations has a folder in the place of the link.
    return `${folder}/..data`
  }
}

function isMixed([first, second]: readonly (string | undefined)[]): boolean {
  return first !== undefined && second !== undefined && first !== second
}

function count(what: Counter): void {
  Atomics.add(counts, COUNTERS.indexOf(what), 1)
}

function isTold(what: Counter): boolean {
  return Atomics.load(counts, COUNTERS.indexOf(what)) !== 0
}
