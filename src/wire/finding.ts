import type { Finding__Output } from './gen/latchkey/mount/v1/Finding.ts'

/** One thing that was looked at, as the mount API has it. */
export type Finding = Finding__Output

/** All is well; `detail` says what was seen. */
export function ok(check: string, detail: string): Finding {
  return { check, grade: 'GRADE_OK', detail, fix: '' }
}

/** Something to know of, and what to do if it is not meant so. */
export function warning(check: string, detail: string, fix: string): Finding {
  return { check, grade: 'GRADE_WARNING', detail, fix }
}

/** Something does not work. */
export function failed(check: string, detail: string, fix: string): Finding {
  return { check, grade: 'GRADE_FAILED', detail, fix }
}

/** Could not be looked at; `why` in a sentence. */
export function skipped(check: string, why: string): Finding {
  return { check, grade: 'GRADE_SKIPPED', detail: why, fix: '' }
}
