import { createHash } from 'node:crypto'

/** Every file of a generation begins with its number, and every byte of it follows from that. */
const HEADER = /^generation (\d+)\n/

/** Odd sizes, around a page and over several; the last one is there in every other generation only. */
const SIZES: Readonly<Record<string, number>> = {
  tiny: 23,
  page: 4097,
  pages: 8_999,
}
const SOMETIMES = ['even', 'odd'] as const

/** What a Secret holds in its `generation`-th version, by key. */
export function filesOf(secret: string, generation: number): Readonly<Record<string, Buffer>> {
  const sizes = { ...SIZES, [SOMETIMES[generation % 2] ?? '']: 511 }
  return Object.fromEntries(
    Object.entries(sizes).map(([key, size]) => [
      key,
      bytesOf(secret, key, generation, size + (generation % 7)),
    ]),
  )
}

/** undefined: the bytes are of no generation at all. */
export function generationOf(bytes: Buffer): number | undefined {
  const [, digits] = HEADER.exec(bytes.subarray(0, 40).toString('latin1')) ?? []
  return digits === undefined ? undefined : Number(digits)
}

function bytesOf(secret: string, key: string, generation: number, size: number): Buffer {
  const header = `generation ${generation}\n`
  const block = createHash('sha256').update(`${secret} ${key} ${generation}`).digest('hex')
  return Buffer.from(header + block.repeat(Math.ceil(size / block.length))).subarray(0, size)
}
