import { networkInterfaces } from 'node:os'
import { LatchkeyError } from '../core/errors.ts'
import type { Logger } from '../observability/log.ts'
import { SyscallError } from '../syscalls/libc.ts'
import { networkNamespaces, unshareNetwork } from '../syscalls/network-namespace.ts'

/** Tells the program, begun anew, that it is. */
const MARK = 'LATCHKEY_NETWORK'

/** undefined: no thread of this process has a network. */
export type NetworkKept = { readonly why: string } | undefined

/**
 * Takes the host side off the network: neither it nor a library in it can then reach anybody, or be reached,
 * but by the sockets in its folders, for unix sockets with a path know no network namespaces.
 *
 * A namespace is a thread's own, and Node has made its threads before a line of a program runs. So the program
 * is begun anew in this very process by execve(2), which leaves only the thread that has moved. Answers in
 * the program so begun, or where it may not be done.
 */
export function leaveNetwork(): NetworkKept {
  const isBegunAnew = process.env[MARK] !== undefined
  Reflect.deleteProperty(process.env, MARK)
  if (isBegunAnew) return findNetwork()
  try {
    unshareNetwork()
  } catch (thrown) {
    if (thrown instanceof SyscallError) return { why: thrown.message }
    throw thrown
  }
  return beginAnew()
}

export function logNetwork(log: Logger, kept: NetworkKept): void {
  if (kept === undefined) log.info({}, 'network left: no thread of this process has one')
  else log.warn({ reason: kept.why }, 'network kept: this process may not leave it')
}

/** Looked at, for the mark may have come from anywhere. */
function findNetwork(): NetworkKept {
  const { length } = networkNamespaces()
  if (length !== 1) return { why: `threads in ${length} network namespaces` }
  const names = Object.keys(networkInterfaces())
  return names.length === 0 ? undefined : { why: `there is ${names.join(', ')}` }
}

function beginAnew(): never {
  const { argv0, argv, execArgv, execPath, env } = process
  process.execve?.(execPath, [argv0, ...execArgv, ...argv.slice(1)], { ...env, [MARK]: 'left' })
  throw new LatchkeyError('Unsupported', 'this Node cannot begin a program anew: it has no execve')
}
