const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** A span of time as kubectl writes it: one unit, or two where one alone says too little. */
export function timespan(ms: number): string {
  const span = Math.max(0, ms)
  if (span < 2 * MINUTE) return `${Math.floor(span / SECOND)}s`
  if (span < 10 * MINUTE) return pair(span, MINUTE, 'm', SECOND, 's')
  if (span < 3 * HOUR) return `${Math.floor(span / MINUTE)}m`
  if (span < 8 * HOUR) return pair(span, HOUR, 'h', MINUTE, 'm')
  if (span < 2 * DAY) return `${Math.floor(span / HOUR)}h`
  if (span < 8 * DAY) return pair(span, DAY, 'd', HOUR, 'h')
  return `${Math.floor(span / DAY)}d`
}

function pair(ms: number, large: number, largeUnit: string, small: number, smallUnit: string) {
  const rest = Math.floor((ms % large) / small)
  return `${Math.floor(ms / large)}${largeUnit}${rest === 0 ? '' : `${rest}${smallUnit}`}`
}
