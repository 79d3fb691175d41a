import type { ShimReports } from './mount/shim-reports.ts'

/** One question's answer: undefined is fine, a text says what is wrong. */
export type Check = () => string | undefined

export interface Verdict {
  readonly isGood: boolean
  /** `[+]name ok` or `[-]name failed: why`, one per check. */
  readonly lines: readonly string[]
}

/** Asks every check. One that throws has failed: a probe must always get an answer. */
export function judge(checks: Readonly<Record<string, Check>>): Verdict {
  const wrongs = Object.entries(checks).map(([name, check]) => [name, ask(check)] as const)
  return {
    isGood: wrongs.every(([, wrong]) => wrong === undefined),
    lines: wrongs.map(([name, wrong]) =>
      wrong === undefined ? `[+]${name} ok` : `[-]${name} failed: ${oneLine(wrong)}`,
    ),
  }
}

/** Beyond this, kubelet restarts the host container: far longer than a daemon's own restart takes. */
const HOST_SILENCE_MS = 90_000
/** Until a host side that starts with the daemon, image pull and all, has to have been heard once. */
const HOST_GRACE_MS = 120_000

/**
 * Whether the host side still beats. `startedAgoMs` is the daemon's own age: a daemon that has just come
 * back has heard nobody yet, and must not have the host side killed for it.
 */
export function hostBeats(reports: ShimReports, startedAgoMs: () => number): Check {
  return () => {
    const [silentMs, allowedMs] =
      reports.ageMs === undefined
        ? [startedAgoMs(), HOST_GRACE_MS]
        : [reports.ageMs, HOST_SILENCE_MS]
    if (silentMs < allowedMs) return undefined
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
    return why === ''
      ? 'kubelet has not confirmed the driver'
      : `kubelet refused the driver: ${why}`
  }
}

function ask(check: Check): string | undefined {
  try {
    return check()
  } catch {
    return 'the check itself broke'
  }
}

/** kubelet's words come over the wire and must not look like another check's line. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ').slice(0, 256)
}
