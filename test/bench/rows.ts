import type { ClusterWorld } from './worlds/cluster-world.ts'
import type { Row } from './row.ts'
import { apiRequests } from './rows/api-requests.ts'
import { changeToFile } from './rows/change-to-file.ts'
import { cpuIdle } from './rows/cpu-idle.ts'
import { memory } from './rows/memory.ts'
import { podsToRunning } from './rows/pods-to-running.ts'
import { publishAtOnce } from './rows/publish-at-once.ts'
import { publishOneByOne } from './rows/publish-one-by-one.ts'
import { publishWhenCrowded } from './rows/publish-when-crowded.ts'
import { republishAtOnce } from './rows/republish-at-once.ts'
import { start } from './rows/start.ts'
import { unpublishAtOnce } from './rows/unpublish-at-once.ts'
import { volumeWork } from './rows/volume-work.ts'
import type { SealedWorld } from './worlds/sealed-world.ts'

/** Rows that need no more than namespaces, and an API server at most. */
export const SEALED_ROWS: readonly Row<SealedWorld>[] = [
  volumeWork,
  publishOneByOne,
  publishAtOnce,
  unpublishAtOnce,
  republishAtOnce,
  apiRequests,
  memory,
  publishWhenCrowded,
  start,
  cpuIdle,
]

/** Rows that need a kubelet. */
export const CLUSTER_ROWS: readonly Row<ClusterWorld>[] = [podsToRunning, changeToFile]

/** Every row there is, in the table's order. */
export const ROWS: readonly Omit<Row<never>, 'measure'>[] = [
  volumeWork,
  publishOneByOne,
  publishAtOnce,
  unpublishAtOnce,
  republishAtOnce,
  podsToRunning,
  apiRequests,
  changeToFile,
  memory,
  publishWhenCrowded,
  start,
  cpuIdle,
]
