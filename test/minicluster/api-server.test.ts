import test from 'ava'
import { CONTRACT } from './api-contract.ts'
import { startMemoryApi } from './memory-api.ts'

for (const { title, run } of CONTRACT) {
  test(`in memory: ${title}`, async (t) => {
    const { server, contract } = await startMemoryApi()
    t.teardown(() => server.stop())
    await run(t, contract)
  })
}
