import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import type { ExecutionContext } from 'ava'

import type { ClusterNode } from '../cluster/cluster.ts'
import { openApiProxy } from './api-proxy.ts'
import { cluster } from './support.ts'

const DRIVER = 'csi.latchkey.dev'
const LOOK_EVERY_MS = 5

/** Watches whether the node has the driver. */
export interface DriverGap {
  /** Ends the watch: how long the node was without it, in all and at the longest stretch. */
  end(): { readonly totalMs: number; readonly longestMs: number; readonly count: number }
  /** When it last came back, on the node's clock; undefined while it was never away. */
  backAtMs(): number | undefined
}

/**
 * A node has the driver while kubelet has it registered, which it writes into the CSINode, and
 * somebody listens on its socket. Either of them missing is the gap.
 */
export async function watchDriver(t: ExecutionContext, node: ClusterNode): Promise<DriverGap> {
  const api = await openApiProxy(t, node)
  const path = join(node.kubeletRoot, 'plugins', DRIVER, 'csi.sock')
  const stopped = new AbortController()
  t.teardown(() => {
    stopped.abort()
  })
  const gaps: number[] = []
  let isRegistered = true
  let isListening = true
  let goneAtMs: number | undefined
  let backAtMs: number | undefined
  const note = (): void => {
    const now = performance.now()
    if (isRegistered && isListening) {
      if (goneAtMs === undefined) return
      gaps.push(now - goneAtMs)
      goneAtMs = undefined
      backAtMs = Date.now()
    } else goneAtMs ??= now
  }
  api.watch('/apis/storage.k8s.io/v1/csinodes', cluster.nodeName, (state) => {
    const { spec } = state as {
      readonly spec: { readonly drivers: readonly { name: string }[] | null }
    }
    isRegistered = (spec.drivers ?? []).some(({ name }) => name === DRIVER)
    note()
  })
  const look = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      isListening = await canConnect(path)
      note()
      await sleep(LOOK_EVERY_MS)
    }
  }
  void look()
  return {
    end() {
      stopped.abort()
      const totalMs = Math.round(gaps.reduce((sum, gapMs) => sum + gapMs, 0))
      return { totalMs, longestMs: Math.round(Math.max(0, ...gaps)), count: gaps.length }
    },
    backAtMs: () => backAtMs,
  }
}

function canConnect(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const answer = (isThere: boolean) => (): void => {
      socket.destroy()
      resolve(isThere)
    }
    socket.once('connect', answer(true)).once('error', answer(false))
  })
}
