import type { ClusterWorld } from './cluster-world.ts'
import type { Row } from './row.ts'
import { volumeWork } from './rows/volume-work.ts'
import type { SealedWorld } from './sealed-world.ts'

/** Rows that need no more than namespaces, and an API server at most. */
export const SEALED_ROWS: readonly Row<SealedWorld>[] = [volumeWork]

/** Rows that need a kubelet. */
export const CLUSTER_ROWS: readonly Row<ClusterWorld>[] = []

/** Every row there is, as the table has them. */
export const ROWS: readonly Omit<Row<never>, 'measure'>[] = [...SEALED_ROWS, ...CLUSTER_ROWS]
