import { constants } from 'node:os'
import koffi from 'koffi'

/** A system call that failed. `code` is the name of `errno`, such as EBUSY. */
export class SyscallError extends Error {
  readonly call: string
  readonly errno: number
  readonly code: string

  constructor(call: string, errno: number) {
    const code = NAMES.get(errno) ?? `errno ${errno}`
    super(`${call}: ${code}`)
    this.name = 'SyscallError'
    this.call = call
    this.errno = errno
    this.code = code
  }
}

/** Reports whether a system call failed in one of these ways. */
export function isSyscallError(thrown: unknown, ...codes: readonly string[]): boolean {
  return thrown instanceof SyscallError && codes.includes(thrown.code)
}

const NAMES = new Map(Object.entries(constants.errno).map(([name, errno]) => [errno, name]))

// The symbols of this very process, whose libc is already there.
const libc = koffi.load(null)

/** A function of libc, its pointers given as strings or buffers. */
type Native = (...args: (number | string | Buffer | null)[]) => number

/** Binds one function of libc; a negative answer becomes a SyscallError that names `call`. */
export function bind(call: string, prototype: string): Native {
  const native = libc.func(prototype) as Native
  return (...args) => {
    const result = native(...args)
    if (result < 0) throw new SyscallError(call, koffi.errno())
    return result
  }
}
