import { measureRow, type Outcome, type Row } from './row.ts'

/** What rows on a real node work with. */
export interface ClusterWorld {
  /** A number of rounds or pods: the first, or the second for --quick. */
  scale(full: number, quick: number): number
}

interface ClusterOrder {
  readonly isQuick: boolean
  readonly say: (line: string) => void
}

export async function measureCluster(
  rows: readonly Row<ClusterWorld>[],
  { isQuick, say }: ClusterOrder,
  done: (answer: { readonly row: string; readonly outcome: Outcome }) => void,
): Promise<void> {
  const world: ClusterWorld = { scale: (full, quick) => (isQuick ? quick : full) }
  for (const row of rows) {
    say(row.name)
    done({ row: row.name, outcome: await measureRow(row, world) })
  }
}
