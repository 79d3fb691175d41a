import { points } from './instruments.ts'
import { readVersion } from '../../../src/cli/version.ts'
import { loadConfig, nodeNameOf } from '../../../src/config/load.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { loadKubeconfig } from '../../../src/daemon/kube/kubeconfig.ts'
import { createKubeClient } from '../../../src/daemon/kube/create-client.ts'
import { startDaemon } from '../../../src/daemon/start-daemon.ts'
import { createLogger } from '../../../src/observability/log.ts'
import { watchKube } from './kube-events.ts'
import { obey } from './orders.ts'
import { watchStreams } from './stream-events.ts'
import { watchVault } from './vault-events.ts'

/* The daemon as `latchkey daemon` starts it, with places to die at. */

const ROOT = 0

watchStreams(points)
watchVault(points)
obey(points, async (file) => {
  const config = loadConfig({ file })
  const connection = loadKubeconfig(config.kubernetes.kubeconfig ?? '')
  const kube = createKubeClient({
    connection,
    clock: systemClock,
    limits: { callTimeoutMs: config.kubernetes.timeoutMs },
  })
  await startDaemon({
    config,
    nodeName: nodeNameOf(config),
    version: readVersion(),
    kube: watchKube(kube, points),
    clock: systemClock,
    log: createLogger({ level: 'debug', side: 'daemon' }),
    shimUid: ROOT,
  })
  return 0
})
