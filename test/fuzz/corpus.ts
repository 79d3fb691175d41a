import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Every input that ever found something, by lane: each is fed again in every run, and mutated further. */
export const CORPUS_FOLDER = join(import.meta.dirname, 'corpus')

export function readCorpus(folder: string, lane: string): readonly Buffer[] {
  const own = join(folder, lane)
  if (!existsSync(own)) return []
  return readdirSync(own)
    .sort()
    .map((name) => readFileSync(join(own, name)))
}

/** Answers where it lies. */
export function keep(folder: string, lane: string, input: Buffer): string {
  const own = join(folder, lane)
  mkdirSync(own, { recursive: true })
  const name = createHash('sha256').update(input).digest('hex').slice(0, 12)
  const path = join(own, `${name}.bin`)
  writeFileSync(path, input)
  return path
}
