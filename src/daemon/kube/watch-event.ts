import { LatchkeyError } from '../../core/errors.ts'
import type { SecretEvent } from './kube-client.ts'

/** A notice, or what a watch says about itself: alive (skip it), or over (read again, then watch again). */
export type WatchLine = SecretEvent | 'alive' | 'over'

/** Reads one line of a watch. Throws: KubeUnavailable where it is none. */
export function parseWatchLine(line: Buffer): WatchLine {
  const event = parseObject(line)
  switch (event['type']) {
    case 'ADDED':
    case 'MODIFIED':
      return { type: 'present', resourceVersion: versionOf(event['object']) }
    case 'DELETED':
      return { type: 'deleted', resourceVersion: versionOf(event['object']) }
    case 'BOOKMARK':
      return 'alive'
    case 'ERROR':
      // Under HTTP 200: 410 Gone for a version that is too old, or a storage that cannot watch.
      return 'over'
    default:
      throw unreadable()
  }
}

// The object is a Table, whose own metadata has the version; an object's would be at the same place.
function versionOf(object: unknown): string {
  const metadata = asObject(asObject(object)['metadata'])
  const version = metadata['resourceVersion']
  if (typeof version !== 'string' || version === '') throw unreadable()
  return version
}

function parseObject(line: Buffer): Readonly<Record<string, unknown>> {
  let parsed: unknown
  try {
    parsed = JSON.parse(line.toString())
  } catch {
    throw unreadable()
  }
  return asObject(parsed)
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw unreadable()
  return value as Readonly<Record<string, unknown>>
}

function unreadable(): LatchkeyError {
  return new LatchkeyError('KubeUnavailable', "the API server's watch could not be read")
}
