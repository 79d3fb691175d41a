import { constants } from 'node:os'
import koffi from 'koffi'

/** A system call that failed. `code` is errno's name, such as EBUSY. */
export class SyscallError extends Error {
  readonly call: string
  readonly code: string

  constructor(call: string, errno: number) {
    const code = NAMES.get(errno) ?? `errno ${errno}`
    super(`${call}: ${code}`)
    this.name = 'SyscallError'
    this.call = call
    this.code = code
  }
}

export function isSyscallError(thrown: unknown, ...codes: readonly string[]): boolean {
  return thrown instanceof SyscallError && codes.includes(thrown.code)
}

const NAMES = new Map(Object.entries(constants.errno).map(([name, errno]) => [errno, name]))

// The symbols of this very process, whose libc is already there.
const libc = koffi.load(null)

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
