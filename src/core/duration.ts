const DURATION = /^(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?$/
const UNITS_MS = [3_600_000, 60_000, 1_000, 1] as const

/** Milliseconds of a duration such as "90s", "1h30m" or "500ms"; undefined where it is none. */
export function parseDurationMs(text: string): number | undefined {
  const parts = DURATION.exec(text)
  if (parts === null || text === '') return undefined
  return UNITS_MS.reduce<number>(
    (sum, unitMs, index) => sum + Number(parts[index + 1] ?? 0) * unitMs,
    0,
  )
}
