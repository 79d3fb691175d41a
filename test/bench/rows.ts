import type { ClusterWorld } from './cluster-world.ts'
import type { Row } from './row.ts'
import { cpuIdle } from './rows/cpu-idle.ts'
import { memory } from './rows/memory.ts'
import { publishWhenCrowded } from './rows/publish-when-crowded.ts'
import { start } from './rows/start.ts'
import { publishAtOnce } from './rows/publish-at-once.ts'
import { publishOneByOne } from './rows/publish-one-by-one.ts'
import { republishAtOnce } from './rows/republish-at-once.ts'
import { unpublishAtOnce } from './rows/unpublish-at-once.ts'
import { volumeWork } from './rows/volume-work.ts'
import type { SealedWorld } from './sealed-world.ts'

/** Rows that need no more than namespaces, and an API server at most. */
export const SEALED_ROWS: readonly Row<SealedWorld>[] = [
  volumeWork,
  publishOneByOne,
  publishAtOnce,
  unpublishAtOnce,
  republishAtOnce,
  memory,
  publishWhenCrowded,
  start,
  cpuIdle,
]

/** Rows that need a kubelet. */
export const CLUSTER_ROWS: readonly Row<ClusterWorld>[] = []

/** Every row there is, as the table has them. */
export const ROWS: readonly Omit<Row<never>, 'measure'>[] = [...SEALED_ROWS, ...CLUSTER_ROWS]
