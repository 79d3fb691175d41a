import { isTrue, membersOf, numberOf, textOf, textsOf } from './json-value.ts'
import { walkJson, type JsonSpan } from './json-walk.ts'

type Members = ReadonlyMap<string, JsonSpan>

/** What Vault answered, as places in its text. Good for as long as the text is not zeroed. */
export interface Answer {
  readonly text: Buffer
  readonly members: Members
}

/** A lease or a token's life, as Vault writes both. */
export interface Term {
  readonly durationMs: number
  readonly renewable: boolean
}

const EMPTY: Answer = { text: Buffer.alloc(0), members: new Map() }

/** Throws: JsonError where the body is no JSON object, or an ambiguous one. */
export function parseAnswer(body: Buffer): Answer {
  // 204, for what has nothing to say.
  if (body.length === 0) return EMPTY
  return { text: body, members: membersOf(body, walkJson(body)) }
}

/** The members of one of the answer's objects; none where it is missing or something else. */
export function objectIn({ text, members }: Answer, name: string): Members {
  return membersOf(text, members.get(name))
}

/** Vault's own id of the request, which its audit log shows. */
export function requestIdOf({ text, members }: Answer): string {
  return textOf(text, members.get('request_id')) ?? ''
}

export function termOf(text: Buffer, members: Members): Term {
  const seconds = numberOf(text, members.get('lease_duration')) ?? 0
  return {
    durationMs: Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0,
    renewable: isTrue(text, members.get('renewable')),
  }
}

const MAX_ERRORS = 8
// Vault writes lists of errors with a headline and bullets.
const HEADLINE = /^\d+ errors? occurred:\s*\*\s*/

/** Vault's words about a refusal, as they came but for their dress; foreign text. */
export function errorsOf({ text, members }: Answer): string {
  return textsOf(text, members.get('errors'), MAX_ERRORS)
    .map((line) =>
      line
        .replace(HEADLINE, '')
        .replaceAll(/\s*\n\s*\*\s*/g, '; ')
        .trim(),
    )
    .join('; ')
}
