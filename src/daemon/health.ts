import type { ShimReports } from './mount/shim-reports.ts'

/** One question's answer: undefined is fine, a text says what is wrong. */
export type Check = () => string | undefined

export interface Verdict {
  readonly isGood: boolean
  /** `[+]name ok` or `[-]name: why`, one per check. */
  readonly lines: readonly string[]
}

export function judge(checks: Readonly<Record<string, Check>>): Verdict {
  const lines = Object.entries(checks).map(([name, check]) => {
    const wrong = check()
    return wrong === undefined ? `[+]${name} ok` : `[-]${name}: ${wrong}`
  })
  return { isGood: lines.every((line) => line.startsWith('[+]')), lines }
}

/** Beyond this, kubelet restarts the host container: far longer than a daemon's own restart takes. */
const HOST_SILENCE_MS = 90_000

/**
 * Whether the host side still beats. `startedAgoMs` is the daemon's own age: a daemon that has just come
 * back has heard nobody yet, and must not have the host side killed for it.
 */
export function hostBeats(reports: ShimReports, startedAgoMs: () => number): Check {
  return () => {
    const silentMs = reports.ageMs ?? startedAgoMs()
    if (silentMs < HOST_SILENCE_MS) return undefined
    return `no report of the host side for ${Math.round(silentMs / 1000)} s`
  }
}

export function hostConnected(reports: ShimReports): Check {
  return () => (reports.isConnected ? undefined : 'the host side is not connected')
}

export function registered(reports: ShimReports): Check {
  return () => {
    if (reports.latest?.registered === true) return undefined
    const why = reports.latest?.registrationError ?? ''
    return why === '' ? 'kubelet has not confirmed the driver' : `kubelet refused the driver: ${why}`
  }
}
