import { LatchkeyError } from './errors.ts'

const MAX_PATH_BYTES = 4096
const MAX_SEGMENT_BYTES = 255

/**
 * Checks a file's path inside a volume and answers its segments. The rules are those that Kubernetes
 * has for `items[].path` of a Secret volume, and stricter where a file system would be fooled: relative,
 * no empty, "." or ".." segment, no segment that starts with ".." (the layout's own names do), no NUL.
 *
 * `field` names the place to fix in the error.
 * Throws: InvalidRequest.
 */
export function parseSafePath(path: string, field: string): readonly string[] {
  const refuse = (why: string): never => {
    throw new LatchkeyError('InvalidRequest', `${field}: ${why}`)
  }
  if (path === '') refuse('is empty')
  if (!path.isWellFormed()) refuse('is not valid Unicode')
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) refuse(`is longer than ${MAX_PATH_BYTES} bytes`)
  if (path.startsWith('/')) refuse('must be relative, not start with "/"')
  if (CONTROL.test(path)) refuse('contains a control character')
  const segments = path.split('/')
  for (const segment of segments) {
    if (segment === '' || segment === '.') refuse('has an empty or "." segment')
    if (segment.startsWith('..')) refuse('has a segment that starts with ".."')
    if (Buffer.byteLength(segment) > MAX_SEGMENT_BYTES) {
      refuse(`has a segment longer than ${MAX_SEGMENT_BYTES} bytes`)
    }
  }
  return segments
}

// Control characters in a name forge lines in logs and listings.
const CONTROL = /[\u0000-\u001f\u007f]/
