import { points } from './instruments.ts'
import { startHostSide } from '../../../src/cli/host.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { createLogger } from '../../../src/observability/log.ts'
import { watchCalls } from './call-events.ts'
import { obey } from './orders.ts'
import { watchStore } from './store-events.ts'
import { watchStreams } from './stream-events.ts'

/* The host side as `latchkey host` starts it, with places to die at. */

watchStore(points)
watchStreams(points)
obey(points, async (file) => {
  let adopted = 0
  const log = watchCalls(createLogger({ level: 'debug', side: 'host' }), points, (count) => {
    adopted = count
  })
  await startHostSide(loadConfig({ file }), log)
  return adopted
})
