import { mkdtempSync, rmSync } from 'node:fs'

import { readMounts } from '../../../src/host/volume/mountinfo.ts'
import { unmountLazily } from '../../../src/syscalls/mount-api.ts'
import { measureRow } from '../row.ts'
import { SEALED_ROWS } from '../rows.ts'
import type { SealedAnswer, SealedOrder } from './sealed-process.ts'
import { SealedWorld } from './sealed-world.ts'

/** The process of sealed-process.ts: measures rows one after the other in namespaces of its own. */
const order = JSON.parse(process.argv[2] ?? '') as SealedOrder
// Sockets lie in it, and their paths are short.
const folder = mkdtempSync('/tmp/lkb-')
// Whoever asked has gone. All that was started here goes with this process.
process.once('disconnect', () => {
  removeFolder()
  process.exit(1)
})
const world = new SealedWorld(order, folder)
try {
  for (const row of SEALED_ROWS.filter(({ name }) => order.rows.includes(name))) {
    process.stderr.write(`bench: ${row.name}\n`)
    const outcome = await measureRow(row, world)
    process.send?.({ row: row.name, outcome } satisfies SealedAnswer)
    await world.clear()
  }
} finally {
  await world.close()
  removeFolder()
  process.removeAllListeners('disconnect')
  process.disconnect()
}

function removeFolder(): void {
  // A side that stops leaves its volumes to the next one.
  for (const { mountPoint } of readMounts().toReversed()) {
    if (mountPoint.startsWith(`${folder}/`)) unmountLazily(mountPoint)
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
}
