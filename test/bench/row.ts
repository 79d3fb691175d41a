import type { Figure } from './figures/figure.ts'

/** What a row cannot be measured without. */
export type Need = 'root' | 'compiler' | 'api server' | 'cluster'

/** One line of the table that the bench prints, and how it comes about. */
export interface Row<World> {
  /** For --only. */
  readonly name: string
  readonly title: string
  /** What is compared with what, in a sentence: a ratio without it says nothing. */
  readonly compares: string
  readonly needs: readonly Need[]
  measure(world: World): Promise<readonly Figure[]>
}

export type Outcome =
  | { readonly kind: 'measured'; readonly figures: readonly Figure[]; readonly tookMs: number }
  | { readonly kind: 'skipped'; readonly why: string }
  | { readonly kind: 'failed'; readonly why: string }

/** Measures a row. Never rejects: one that fails is told as such, and the next one goes on. */
export async function measureRow<World>(row: Row<World>, world: World): Promise<Outcome> {
  const begunMs = performance.now()
  try {
    const figures = await row.measure(world)
    return { kind: 'measured', figures, tookMs: performance.now() - begunMs }
  } catch (thrown) {
    return { kind: 'failed', why: thrown instanceof Error ? thrown.message : String(thrown) }
  }
}
